#pragma once
// The loops of CPU kernels, for the vector registers that the processor has.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

#define PLUMBLINE_INLINE __attribute__((always_inline)) inline
#define PLUMBLINE_LAMBDA __attribute__((always_inline))

namespace plumbline {

/** Some key heads of one row: the queries of their groups over keys `first` to `last`, which lie in pages of a table. */
template <typename T>
struct RowCall {
  /** [heads, group, width], as `out` */
  const float* q;
  const T* keys;
  const T* values;
  float* out;
  const int* table;
  int64_t pageSize, first, last, heads, group, width;
  /** Numbers from slot to slot. */
  int64_t stride;
  float scale, softCap;
  /** What is read next, to be fetched meanwhile. */
  const T* after;
};

struct Best {
  int64_t id;
  float logit;
  /** False where a logit is NaN. */
  bool isNumber;
};

/** The upper half of a float32's bits. */
struct Bfloat16 {
  uint16_t bits;
};

struct LogitRow {
  float logProb, entropy, correct, normalizer;
};

/**
 * Numbers of one step of AdamW: `newer` is 1 − β₁ and `newerSquare` 1 − β₂, of which a float32 of β would leave four digits;
 * the last factors stand for learning rate, weight decay and bias corrections.
 */
struct AdamwStep {
  float beta2, newer, newerSquare, epsilon, decay, stepSize, denominatorScale, gradientScale;
};

/** On numbers of float32, or of bfloat16. */
template <typename T>
struct LoopsOf {
  void (*siluGate)(const T* gate, const T* up, T* out, int64_t count);
  void (*siluGateGradient)(const T*, const T*, const T*, T*, T*, int64_t);
  void (*rmsNorm)(const T*, const T*, const float*, T*, T*, int64_t, float);
  void (*turnHead)(const T*, const float*, const float*, float, T*, int64_t, int64_t);
  LogitRow (*logitRow)(T*, int64_t, int64_t, float, const float*);
  void (*adamw)(float*, const T* gradient, float*, float*, Bfloat16*, int64_t, const AdamwStep&);
  void (*decodeRow)(const RowCall<T>&, float*);
};

struct Loops {
  LoopsOf<float> wide;
  LoopsOf<Bfloat16> narrow;
  double (*narrowSquares)(const Bfloat16*, int64_t);
  void (*widen)(const Bfloat16*, float*, int64_t);
  Best (*bestOf)(const float*, int64_t);
  void (*weighAll)(const float*, float, float, float*, int64_t);
  float (*exponentialSum)(const float*, float, int64_t);
  float (*partSum)(const float*, int64_t);
};

namespace plain {
#include "cpu-loops-body.h"
#include "cpu-training-body.h"
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PLUMBLINE_AVX2_LOOPS
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#pragma GCC optimize("O3")
#define PLUMBLINE_FUSED
namespace avx2 {
#include "cpu-loops-body.h"
#include "cpu-training-body.h"
}
#undef PLUMBLINE_FUSED
#pragma GCC pop_options
#endif

inline const Loops& CpuLoops() {
#ifdef PLUMBLINE_AVX2_LOOPS
  static const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (wide) return avx2::kLoops;
#endif
  return plain::kLoops;
}

template <typename T>
const LoopsOf<T>& CpuLoopsOf();

template <>
inline const LoopsOf<float>& CpuLoopsOf<float>() {
  return CpuLoops().wide;
}

template <>
inline const LoopsOf<Bfloat16>& CpuLoopsOf<Bfloat16>() {
  return CpuLoops().narrow;
}

}  // namespace plumbline
