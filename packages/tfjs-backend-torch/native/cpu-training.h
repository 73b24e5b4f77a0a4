#pragma once
// What a training step does to large tensors on the CPU in one pass: softmax of logits and its slopes, AdamW, rotation.

#include <algorithm>
#include <type_traits>
#include <vector>

#include "cpu-tensors.h"
#include "replay.h"

namespace plumbline {

/**
 * logitRows(logits [M, V], targets [M] int64, log-probs, entropies, correct, normalizers [M] or null each, factors [M] or
 * null, temperature, withSlopes): softmax of logits / temperature. With slopes, the logits become factor times the gradient
 * of the target's log-prob by them; a factor is 1 where there are none.
 */
inline Napi::Value LogitRows(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"logitRows", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto logits = RowsOf(info, 0), targets = Dense(info, 1, at::kLong);
    std::vector<at::Tensor> tensors = {logits, targets};
    for (size_t i = 2; i < 7; i++) tensors.push_back(DenseOrNone(info, i));
    const auto temperature = info[7].As<Napi::Number>().FloatValue();
    const bool withSlopes = info[8].ToBoolean();
    const int64_t count = logits.size(0), vocabulary = logits.size(1), step = logits.stride(0);
    for (size_t i = 1; i < tensors.size(); i++) {
      if (tensors[i].defined() && tensors[i].numel() != count) throw ArgumentError("one number for each row of logits");
    }
    Do(std::move(tensors), [=](const std::vector<at::Tensor>& t) {
      const int64_t* target = t[1].data_ptr<int64_t>();
      for (int64_t row = 0; row < count; row++) {
        if (target[row] < 0 || target[row] >= vocabulary) throw ArgumentError("a target lies outside the vocabulary");
      }
      float* lines[] = {Data(t[2]), Data(t[3]), Data(t[4]), Data(t[5])};
      const float *factors = Data(t[6]), one = 1.f;
      WithTypeOf(t[0], [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        T* all = DataOf<T>(t[0]);
        ParallelFor(0, count, std::max<int64_t>(1, kGrain / vocabulary), [&](int64_t from, int64_t to) {
          for (int64_t row = from; row < to; row++) {
            const float* factor = !withSlopes ? nullptr : factors == nullptr ? &one : factors + row;
            const auto found = CpuLoopsOf<T>().logitRow(all + row * step, vocabulary, target[row], temperature, factor);
            const float numbers[] = {found.logProb, found.entropy, found.correct, found.normalizer};
            for (int i = 0; i < 4; i++) {
              if (lines[i] != nullptr) lines[i][row] = numbers[i];
            }
          }
        });
      });
    });
    return info.Env().Undefined();
  });
}

/** One parameter's step of AdamW, in place. */
inline void UpdateParameter(const std::vector<at::Tensor>& t, const AdamwStep& step) {
  float *p = Data(t[0]), *m = Data(t[2]), *v = Data(t[3]);
  Bfloat16* copy = DataOf<Bfloat16>(t[4]);
  WithTypeOf(t[1], [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* gradient = DataOf<T>(t[1]);
    ParallelFor(0, t[0].numel(), kGrain, [&](int64_t from, int64_t to) {
      Bfloat16* copied = copy == nullptr ? nullptr : copy + from;
      CpuLoopsOf<T>().adamw(p + from, gradient + from, m + from, v + from, copied, to - from, step);
    });
  });
}

/**
 * adamw(parameters, gradients of float32 or bfloat16, first moments, second moments, copies of bfloat16 or null, decays,
 * step sizes, β₁, β₂, ε, denominator's scale, gradient's scale): one step of each, in place.
 */
inline Napi::Value Adamw(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"adamw", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto env = info.Env();
    std::vector<std::vector<at::Tensor>> lists;
    for (size_t i = 0; i < 5; i++) lists.push_back(TensorsOf(env, info[i]));
    const auto decays = info[5].As<Napi::Array>(), stepSizes = info[6].As<Napi::Array>();
    const auto number = [&](size_t i) { return info[i].As<Napi::Number>().FloatValue(); };
    const auto rest = [&](size_t i) { return static_cast<float>(1 - info[i].As<Napi::Number>().DoubleValue()); };
    for (const auto& list : lists) {
      if (list.size() != lists[0].size()) throw ArgumentError("as many of each as there are parameters");
    }
    std::vector<std::vector<at::Tensor>> items;
    for (size_t i = 0; i < lists[0].size(); i++) {
      const auto parameter = Dense(lists[0][i]), gradient = DenseFloat(lists[1][i]);
      const auto first = Dense(lists[2][i]), second = Dense(lists[3][i]);
      const auto copy = lists[4][i].defined() ? Dense(lists[4][i], at::kBFloat16) : at::Tensor();
      CheckSizes(parameter, {gradient, first, second, copy.defined() ? copy : parameter});
      items.push_back({parameter, gradient, first, second, copy});
    }
    for (uint32_t i = 0; i < items.size(); i++) {
      const auto each = [&](const Napi::Array& numbers) { return Napi::Value(numbers[i]).As<Napi::Number>().FloatValue(); };
      const AdamwStep step = {number(8), rest(7), rest(8), number(9), each(decays), each(stepSizes), number(10), number(11)};
      Do(std::move(items[i]), [step](const std::vector<at::Tensor>& t) { UpdateParameter(t, step); });
    }
    return env.Undefined();
  });
}

/**
 * turnHeads(x [N, H·d], cos, sin [N, R/2], sign, width d, out [N, H, d]), x and out of float32 or bfloat16: halves i and
 * i + R/2 of each head turn together by the angle times the sign, what lies beyond R passes.
 */
inline Napi::Value TurnHeads(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"turnHeads", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto x = RowsOf(info, 0), cos = Dense(info, 1), sin = Dense(info, 2);
    const auto sign = info[3].As<Napi::Number>().FloatValue();
    const auto width = info[4].As<Napi::Number>().Int64Value();
    const auto out = Dense(TensorOf(info.Env(), info[5]), x.scalar_type());
    CheckSizes(x, {out});
    CheckSizes(cos, {sin});
    const int64_t tokens = x.size(0), features = x.size(1), step = x.stride(0), half = tokens == 0 ? 0 : cos.numel() / tokens;
    if (width <= 0 || features % width != 0 || 2 * half > width || half * tokens != cos.numel()) {
      throw ArgumentError("heads are turned by at most half as many angles as they are wide, for each token");
    }
    Do({x, cos, sin, out}, [=](const std::vector<at::Tensor>& t) {
      const float *c = Data(t[1]), *s = Data(t[2]);
      WithTypeOf(t[0], [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const T* from = DataOf<T>(t[0]);
        T* to = DataOf<T>(t[3]);
        ParallelFor(0, tokens, std::max<int64_t>(1, kGrain / features), [&](int64_t first, int64_t end) {
          for (int64_t token = first; token < end; token++) {
            const float *cosines = c + token * half, *sines = s + token * half;
            for (int64_t at = 0; at < features; at += width) {
              CpuLoopsOf<T>().turnHead(from + token * step + at, cosines, sines, sign, to + token * features + at, width, half);
            }
          }
        });
      });
    });
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
