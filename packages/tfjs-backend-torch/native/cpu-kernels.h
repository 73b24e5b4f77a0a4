#pragma once
// Kernels for the CPU where ATen's operators pass over memory several times: float32 tensors in memory order.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstring>
#include <vector>

#include "handle.h"

// One version for each width of vector registers; the loader picks what the processor has.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PLUMBLINE_VECTORS __attribute__((target_clones("avx512f", "arch=haswell", "default"), optimize("O3")))
#else
#define PLUMBLINE_VECTORS
#endif

namespace plumbline {

/** Numbers that one thread takes at a time; sums are added up in this grain whatever the number of threads. */
constexpr int64_t kGrain = 1 << 15;

PLUMBLINE_VECTORS static double SquareSumOf(const float* x, int64_t count) {
  constexpr int kLanes = 32;
  double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int j = 0; j < kLanes; j++) {
      const double value = x[i + j];
      sums[j] += value * value;
    }
  }
  for (; i < count; i++) sums[0] += static_cast<double>(x[i]) * x[i];
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

/** eˣ to about 1e-7, between 2⁻¹²⁶ and 2¹²⁷: a polynomial on |x| ≤ ln 2 / 2 and the exponent's bits. */
__attribute__((always_inline)) static inline float Exponential(float x) {
  const float bounded = x < -87.f ? -87.f : (x > 88.f ? 88.f : x);
  // adding 1.5·2²³ rounds to a whole number
  const float shifted = bounded * 1.44269504f + 12582912.f;
  const float whole = shifted - 12582912.f;
  const float rest = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float series = 1.9875691e-4f;
  series = series * rest + 1.3981999e-3f;
  series = series * rest + 8.3334519e-3f;
  series = series * rest + 4.1665796e-2f;
  series = series * rest + 1.6666665e-1f;
  series = series * rest + 5.0000001e-1f;
  series = series * rest * rest + rest + 1.f;
  int32_t bits;
  std::memcpy(&bits, &series, sizeof bits);
  bits += static_cast<int32_t>(whole) << 23;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

PLUMBLINE_VECTORS static void SiluGateOf(const float* gate, const float* up, float* out, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    const float x = gate[i];
    // NaN compares false with every bound and must come out as it came in
    const float value = x / (1.f + Exponential(-x)) * up[i];
    out[i] = x == x ? value : x;
  }
}

PLUMBLINE_VECTORS static void SiluGateGradientOf(const float* gate, const float* up, const float* dy, float* dgate,
                                                 float* dup, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    const float x = gate[i];
    const float sigmoid = 1.f / (1.f + Exponential(-x));
    const float slope = dy[i] * up[i] * sigmoid * (1.f + x * (1.f - sigmoid));
    const float above = dy[i] * x * sigmoid;
    dgate[i] = x == x ? slope : x;
    dup[i] = x == x ? above : x;
  }
}

inline float* FloatsOf(const Napi::CallbackInfo& info, size_t i, int64_t* count) {
  const auto& tensor = TensorOf(info.Env(), info[i]);
  if (!tensor.is_cpu() || tensor.scalar_type() != at::kFloat || !tensor.is_contiguous()) {
    throw ArgumentError("a CPU kernel takes contiguous float32 tensors");
  }
  if (*count >= 0 && tensor.numel() != *count) throw ArgumentError("a CPU kernel takes tensors of one size");
  *count = tensor.numel();
  return tensor.data_ptr<float>();
}

/** squareSum(x): Σx², in float64 and in the same order whatever the number of threads. */
inline Napi::Value SquareSum(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"squareSum", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    int64_t count = -1;
    const float* x = FloatsOf(info, 0, &count);
    const int64_t parts = (count + kGrain - 1) / kGrain;
    std::vector<double> sums(parts);
    at::parallel_for(0, parts, 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; i++) sums[i] = SquareSumOf(x + i * kGrain, std::min(kGrain, count - i * kGrain));
    });
    double sum = 0;
    for (const double part : sums) sum += part;
    return Napi::Number::New(info.Env(), sum);
  });
}

/** siluGate(gate, up, out): out = silu(gate) · up */
inline Napi::Value SiluGate(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"siluGate", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    int64_t count = -1;
    const float* gate = FloatsOf(info, 0, &count);
    const float* up = FloatsOf(info, 1, &count);
    float* out = FloatsOf(info, 2, &count);
    at::parallel_for(0, count, kGrain, [&](int64_t from, int64_t to) {
      SiluGateOf(gate + from, up + from, out + from, to - from);
    });
    return info.Env().Undefined();
  });
}

/** siluGateGradient(gate, up, dy, dgate, dup) */
inline Napi::Value SiluGateGradient(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"siluGateGradient", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    int64_t count = -1;
    const float* gate = FloatsOf(info, 0, &count);
    const float* up = FloatsOf(info, 1, &count);
    const float* dy = FloatsOf(info, 2, &count);
    float* dgate = FloatsOf(info, 3, &count);
    float* dup = FloatsOf(info, 4, &count);
    at::parallel_for(0, count, kGrain, [&](int64_t from, int64_t to) {
      SiluGateGradientOf(gate + from, up + from, dy + from, dgate + from, dup + from, to - from);
    });
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
