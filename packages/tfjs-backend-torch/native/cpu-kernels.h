#pragma once
// Kernels for the CPU where ATen's operators pass over memory several times: tensors in memory order, of float32 where
// nothing else is said.

#include <type_traits>
#include <vector>

#include "cpu-tensors.h"

// One version for each width of vector registers; the loader picks what the processor has.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PLUMBLINE_VECTORS __attribute__((target_clones("avx512f", "arch=haswell", "default"), optimize("O3")))
#else
#define PLUMBLINE_VECTORS
#endif

namespace plumbline {

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

inline double SquareSumOf(const Bfloat16* x, int64_t count) { return CpuLoops().narrowSquares(x, count); }

template <typename T>
double SquareSumInParts(const T* x, int64_t count) {
  const Stopwatch stopwatch;
  const int64_t parts = (count + kGrain - 1) / kGrain;
  if (parts == 1) return SquareSumOf(x, count);
  std::vector<double> sums(parts);
  ParallelFor(0, parts, 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) sums[i] = SquareSumOf(x + i * kGrain, std::min(kGrain, count - i * kGrain));
  });
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

inline double SquareSumOf(const at::Tensor& tensor) {
  const auto x = DenseFloat(tensor);
  double sum = 0;
  WithTypeOf(x, [&](auto* type) { sum = SquareSumInParts(DataOf<std::remove_pointer_t<decltype(type)>>(x), x.numel()); });
  return sum;
}

/** squareSum(x, …), float32 or bfloat16: Σx² of all of them, in float64 and in the same order whatever the number of threads. */
inline Napi::Value SquareSum(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"squareSum", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    RefuseWhileRecording();
    ForbidTrace();
    double sum = 0;
    for (size_t i = 0; i < info.Length(); i++) sum += SquareSumOf(TensorOf(info.Env(), info[i]));
    return Napi::Number::New(info.Env(), sum);
  });
}

/** siluGate(gate, up, out), rows of float32 or bfloat16, which need not lie end to end but in `out`: out = silu(gate) · up */
inline Napi::Value SiluGate(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"siluGate", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto gate = RowsOf(info, 0), up = RowsOf(info, 1), out = Dense(info, 2, gate.scalar_type());
    CheckSizes(gate, {up, out});
    if (up.sizes() != gate.sizes() || up.scalar_type() != gate.scalar_type()) throw ArgumentError("a gate for each number");
    const int64_t width = gate.size(1), gateStep = gate.stride(0), upStep = up.stride(0);
    Do({gate, up, out}, [=](const std::vector<at::Tensor>& t) {
      WithTypeOf(t[0], [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const T *g = DataOf<T>(t[0]), *u = DataOf<T>(t[1]);
        T* to = DataOf<T>(t[2]);
        ParallelFor(0, t[0].numel(), kGrain, [&](int64_t from, int64_t end) {
          while (from < end) {
            const int64_t row = from / width, at = from % width, count = std::min(end - from, width - at);
            CpuLoopsOf<T>().siluGate(g + row * gateStep + at, u + row * upStep + at, to + from, count);
            from += count;
          }
        });
      });
    });
    return info.Env().Undefined();
  });
}

/** siluGateGradient(gate, up, dy, dgate, dup), likewise */
inline Napi::Value SiluGateGradient(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"siluGateGradient", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto gate = DenseFloat(TensorOf(info.Env(), info[0]));
    std::vector<at::Tensor> tensors = {gate};
    for (size_t i = 1; i < 5; i++) {
      tensors.push_back(Dense(info, i, gate.scalar_type()));
      CheckSizes(gate, {tensors.back()});
    }
    Do(std::move(tensors), [](const std::vector<at::Tensor>& t) {
      WithTypeOf(t[0], [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const T *g = DataOf<T>(t[0]), *u = DataOf<T>(t[1]), *above = DataOf<T>(t[2]);
        T *dg = DataOf<T>(t[3]), *du = DataOf<T>(t[4]);
        ParallelFor(0, t[0].numel(), kGrain, [&](int64_t from, int64_t to) {
          CpuLoopsOf<T>().siluGateGradient(g + from, u + from, above + from, dg + from, du + from, to - from);
        });
      });
    });
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
