#pragma once
// x·Wᵀ on the CPU. Both operands lie along their common axis: weights are read as they lie, once.

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <limits>
#include <vector>

#include "cpu-choices.h"
#include "cpu-product-pairs.h"
#include "cpu-product-tile.h"
#include "cpu-tensors.h"

namespace plumbline {

#ifdef PLUMBLINE_PRODUCTS

/** Up to here our products are faster than MKL's, which packs weights anew each time, on a processor with AVX-512. */
constexpr int64_t kMostRows = 128;
/** The same for bfloat16 where oneDNN has quicker instructions for it than these products do. */
constexpr int64_t kMostPairs = 8;

/** Rows that are multiplied here at most. */
inline int64_t MostRows(at::ScalarType type) {
  static const bool wider = __builtin_cpu_supports("avx512f"), tiles = BfloatPays() && !pairProducts::PairsPay();
  if (!wider) return std::numeric_limits<int64_t>::max();
  return type == at::kBFloat16 && tiles ? kMostPairs : kMostRows;
}

inline bool MultipliesHere(const at::Tensor& x, const at::Tensor& weight) {
  static const bool fits = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const auto plain = [&](const at::Tensor& t) {
    const auto type = t.scalar_type();
    const bool known = type == at::kFloat || type == at::kBFloat16;
    return t.is_cpu() && known && type == weight.scalar_type() && t.dim() == 2 && t.is_contiguous();
  };
  if (!fits || !plain(x) || !plain(weight)) return false;
  const bool fitting = x.size(1) == weight.size(1) && x.size(1) > 0 && x.size(1) % 8 == 0;
  return fitting && x.size(0) <= MostRows(x.scalar_type());
}

/** @param lanes of the registers, at most */
template <typename Weight>
void MultiplyAll(const Product<Weight>& p, int64_t lanes) {
  static const bool wider = __builtin_cpu_supports("avx512f");
  if (wider && lanes >= avx512Products::kLanes && p.inner % avx512Products::kLanes == 0) avx512Products::MultiplyAll(p);
  else avx2Products::MultiplyAll(p);
}

#else

template <typename Weight>
void MultiplyAll(const Product<Weight>&, int64_t) {}
inline bool MultipliesHere(const at::Tensor&, const at::Tensor&) { return false; }

#endif

/**
 * rowProduct(x [N, I], weight [O, I], lanes), both float32 or bfloat16: x·Wᵀ as a new tensor [N, O], or null where that is left
 * to ATen; in registers of so many lanes at most where a number is given.
 */
inline Napi::Value RowProduct(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"rowProduct", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto x = Used(TensorOf(info.Env(), info[0]));
    const auto weight = Used(TensorOf(info.Env(), info[1]));
    if (!MultipliesHere(x, weight)) return info.Env().Null();
    const int64_t lanes = info[2].IsNumber() ? info[2].As<Napi::Number>().Int64Value() : std::numeric_limits<int64_t>::max();
    const auto make = [&](int64_t width, at::ScalarType type) {
      CallsOf().views += 1;
      const Stopwatch stopwatch;
      const auto made = OutputOf({x, weight}, [&] { return at::empty({x.size(0), width}, x.options().dtype(type)); });
      return TracedMemory(made);
    };
    const int64_t rows = x.size(0), inner = x.size(1), outputs = weight.size(0);
    const auto out = make(outputs, x.scalar_type());
    if (x.scalar_type() == at::kFloat) {
      Do({x, weight, out}, [=](const std::vector<at::Tensor>& t) {
        MultiplyAll<float>({Data(t[0]), Data(t[1]), Data(t[2]), rows, inner, outputs}, lanes);
      });
    } else if (FitsPairs(inner, lanes)) {
      Do({x, weight, out}, [=](const std::vector<at::Tensor>& t) {
        const auto numbers = [&](size_t i) { return t[i].data_ptr<c10::BFloat16>(); };
        MultiplyPairs({numbers(0), numbers(1), numbers(2), rows, inner, outputs});
      });
    } else {
      const auto wideX = make(inner, at::kFloat), wideOut = make(outputs, at::kFloat);
      Do({x, weight, wideX, wideOut, out}, [=](const std::vector<at::Tensor>& t) {
        t[2].copy_(t[0]);
        MultiplyAll<c10::BFloat16>({Data(t[2]), t[1].data_ptr<c10::BFloat16>(), Data(t[3]), rows, inner, outputs}, lanes);
        t[4].copy_(t[3]);
      });
    }
    return Wrap(info.Env(), out, 2);
  });
}

}  // namespace plumbline
