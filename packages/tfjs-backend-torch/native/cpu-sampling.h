#pragma once
// One token a row of logits on the CPU, as the runtime's `sampleRow` says; rows are independent of one another.

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "cpu-tensors.h"

namespace plumbline {

/** Weights that are added up before they go into a sum of float64. */
constexpr int64_t kPart = 256;
/** What misses p by rounding reaches it. */
constexpr double kRounding = 1e-6;

inline double TotalOf(const float* weights, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; i += kPart) total += CpuLoops().partSum(weights + i, std::min(kPart, count - i));
  return total;
}

/** Weights above `least` stay, and the first `equals` that are equal to it. */
struct Border {
  float least;
  int64_t equals;
};

inline void KeepBorder(float* weights, int64_t count, Border border) {
  int64_t seen = 0;
  for (int64_t i = 0; i < count; i++) {
    const bool stays = weights[i] > border.least || (weights[i] == border.least && seen++ < border.equals);
    if (!stays) weights[i] = 0;
  }
}

/** Memory of one thread's rows. */
struct Scratch {
  /** Weights fall into classes by their exponent and the first bits of their fraction, which rise with them. */
  static constexpr int kShift = 18;
  static constexpr int64_t kClasses = (int64_t{1} << 30 >> kShift) + 1;
  std::vector<float> logits, shaped, weights, border;
  std::vector<double> measures = std::vector<double>(kClasses);

  static int64_t ClassOf(float weight) {
    int32_t bits;
    std::memcpy(&bits, &weight, sizeof bits);
    return std::min<int64_t>(kClasses - 1, bits >> kShift);
  }
};

/**
 * The border of the fewest largest weights whose measure, 1 or the weight itself, reaches `need`: the class that holds it is
 * found by adding up classes from above, and only that one is sorted.
 */
template <typename Measure>
Border Select(Scratch& scratch, int64_t count, double need, Measure measure) {
  auto& measures = scratch.measures;
  std::fill(measures.begin(), measures.end(), 0.0);
  const float* weights = scratch.weights.data();
  for (int64_t i = 0; i < count; i++) measures[Scratch::ClassOf(weights[i])] += measure(weights[i]);
  int64_t own = Scratch::kClasses - 1;
  double rest = need;
  // the lowest class takes what rounding leaves over
  while (own > 0 && rest > measures[own]) rest -= measures[own--];
  auto& border = scratch.border;
  border.clear();
  for (int64_t i = 0; i < count; i++) {
    if (Scratch::ClassOf(weights[i]) == own) border.push_back(weights[i]);
  }
  std::sort(border.begin(), border.end(), std::greater<float>());
  for (size_t from = 0; from < border.size();) {
    size_t end = from;
    while (end < border.size() && border[end] == border[from]) end++;
    const double one = measure(border[from]), all = one * static_cast<double>(end - from);
    if (rest <= all || end == border.size()) {
      const double equals = one == 0 ? 1 : std::ceil(rest / one);
      return {border[from], std::max<int64_t>(1, static_cast<int64_t>(equals))};
    }
    rest -= all;
    from = end;
  }
  return {0, 0};
}

struct Draw {
  float uniform, temperature, topK, topP, minP;
  bool takesAll(int64_t count) const { return topK == 0 || topK >= static_cast<float>(count); }
  bool filters(int64_t count) const { return !takesAll(count) || topP < 1 || minP > 0; }
};

/** Sets the weights that top-k, then top-p, then min-p drop to 0. @returns the sum of what stays */
inline double Filter(Scratch& scratch, int64_t count, double total, const Draw& draw) {
  float* weights = scratch.weights.data();
  if (!draw.takesAll(count)) {
    KeepBorder(weights, count, Select(scratch, count, draw.topK, [](float) { return 1.0; }));
    total = TotalOf(weights, count);
  }
  if (draw.topP < 1) {
    const double need = total * static_cast<double>(draw.topP) * (1 - kRounding);
    KeepBorder(weights, count, Select(scratch, count, need, [](float weight) { return static_cast<double>(weight); }));
  }
  if (draw.minP > 0) KeepBorder(weights, count, {static_cast<float>(draw.minP * (1 - kRounding)), count});
  return TotalOf(weights, count);
}

/** The first id at which the running sum exceeds `mass`; the last one with a weight where rounding hides it. */
inline int64_t Inverse(const float* weights, int64_t count, double mass) {
  double sum = 0;
  int64_t last = 0;
  for (int64_t from = 0; from < count; from += kPart) {
    const int64_t end = std::min(count, from + kPart);
    const double part = CpuLoops().partSum(weights + from, end - from);
    if (part == 0) continue;
    double within = 0;
    for (int64_t i = from; i < end; i++) {
      if (weights[i] == 0) continue;
      within += weights[i];
      last = i;
      if (sum + part > mass && sum + within > mass) return i;
    }
    sum += part;
  }
  return last;
}

/** Of the softmax's normalizer. */
inline double LogSum(const float* logits, float top, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; i += kPart) total += CpuLoops().exponentialSum(logits + i, top, std::min(kPart, count - i));
  return static_cast<double>(top) + std::log(total);
}

/** Edits of the logits and the only ids that may be drawn, of one row; see LogitEdits and TokenLists. */
struct Shaping {
  const int* editIds;
  const float* edits;
  int64_t editCount;
  const int* allowed;
  int64_t allowedCount;
};

inline const float* Shaped(const float* logits, int64_t count, const Shaping& s, Scratch& scratch) {
  if (s.editCount == 0 && s.allowedCount == 0) return logits;
  auto& shaped = scratch.shaped;
  shaped.assign(logits, logits + count);
  for (int64_t i = 0; i < s.editCount; i++) {
    float& logit = shaped[s.editIds[i]];
    const float penalty = s.edits[2 * i], addend = s.edits[2 * i + 1];
    logit = (logit > 0 ? logit / penalty : logit * penalty) + addend;
  }
  if (s.allowedCount == 0) return shaped.data();
  // what may be drawn is set aside, everything forbidden, and put back
  auto& open = scratch.border;
  open.clear();
  for (int64_t i = 0; i < s.allowedCount; i++) open.push_back(shaped[s.allowed[i]]);
  std::fill(shaped.begin(), shaped.end(), -std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < s.allowedCount; i++) shaped[s.allowed[i]] = open[i];
  return shaped.data();
}

struct Drawn {
  int32_t id = -1;
  float samplingLogProb = std::numeric_limits<float>::quiet_NaN();
  float policyLogProb = std::numeric_limits<float>::quiet_NaN();
};

inline Drawn DrawRow(const float* logits, int64_t count, const Draw& draw, const Shaping& shaping, Scratch& scratch) {
  scratch.weights.resize(count);
  const float* shaped = Shaped(logits, count, shaping, scratch);
  const auto best = CpuLoops().bestOf(shaped, count);
  if (!best.isNumber || !std::isfinite(best.logit)) return {};
  int64_t id = best.id;
  double sampling = 0;
  if (draw.temperature != 0) {
    float* weights = scratch.weights.data();
    CpuLoops().weighAll(shaped, best.logit, draw.temperature, weights, count);
    double total = TotalOf(weights, count);
    if (draw.filters(count)) total = Filter(scratch, count, total, draw);
    id = Inverse(weights, count, static_cast<double>(draw.uniform) * total);
    sampling = std::log(weights[id] / total);
  }
  const bool plain = shaped == logits && draw.temperature == 1 && !draw.filters(count);
  const auto top = shaped == logits ? best : CpuLoops().bestOf(logits, count);
  if (!top.isNumber || !std::isfinite(top.logit)) return {};
  const double policy = plain ? sampling : logits[id] - LogSum(logits, top.logit, count);
  if (!std::isfinite(policy) || std::isnan(sampling)) return {};
  return {static_cast<int32_t>(id), static_cast<float>(sampling), static_cast<float>(policy)};
}

/**
 * sampleTokens(logits [N, V] of float32 or bfloat16, draws [N, 5], editStarts, editIds, edits, allowedStarts, allowedIds, ids, sampling, policy): the
 * lists, or null for none; the last three are filled, [N] each.
 */
inline Napi::Value SampleTokens(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"sampleTokens", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto logits = DenseFloat(TensorOf(info.Env(), info[0])), draws = Dense(info, 1), edits = DenseOrNone(info, 4);
    const auto editStarts = DenseOrNone(info, 2, at::kInt), editIds = DenseOrNone(info, 3, at::kInt);
    const auto allowedStarts = DenseOrNone(info, 5, at::kInt), allowedIds = DenseOrNone(info, 6, at::kInt);
    const auto ids = Dense(info, 7, at::kInt), sampling = Dense(info, 8), policy = Dense(info, 9);
    CheckSizes(ids, {sampling, policy});
    const int64_t rows = logits.size(0), count = logits.size(1);
    if (ids.numel() != rows || draws.numel() != 5 * rows || count == 0) throw ArgumentError("a draw for each row of logits");
    const auto ints = [](const at::Tensor& t) { return t.defined() ? t.data_ptr<int>() : nullptr; };
    Do([=] {
      ParallelFor(0, rows, 1, [&](int64_t from, int64_t to) {
        Scratch scratch;
        for (int64_t row = from; row < to; row++) {
          const float *d = Data(draws) + 5 * row, *own = nullptr;
          Shaping shaping{};
          if (const int* starts = ints(editStarts)) {
            shaping.editIds = ints(editIds) + starts[row];
            shaping.edits = Data(edits) + 2 * starts[row];
            shaping.editCount = starts[row + 1] - starts[row];
          }
          if (const int* starts = ints(allowedStarts)) {
            shaping.allowed = ints(allowedIds) + starts[row];
            shaping.allowedCount = starts[row + 1] - starts[row];
          }
          WithTypeOf(logits, [&](auto* type) {
            const auto* all = DataOf<std::remove_pointer_t<decltype(type)>>(logits);
            own = WideOf(all + row * count, count, scratch.logits);
          });
          const auto drawn = DrawRow(own, count, {d[0], d[1], d[2], d[3], d[4]}, shaping, scratch);
          ids.data_ptr<int>()[row] = drawn.id;
          Data(sampling)[row] = drawn.samplingLogProb;
          Data(policy)[row] = drawn.policyLogProb;
        }
      });
    });
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
