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

/** Keys that a piece attends to at a time, by their places in the row, and its queries that do so together at most. */
constexpr int64_t kKeyBlock = 256, kPieceTile = 6;

/** Queries of one key head, of tokens that follow one another in a row whose keys lie in pages of a table. */
template <typename T>
struct PieceCall {
  /** The first query: those of the next token lie `step` further on, the next of its group `width`. `out` likewise. */
  const T* q;
  const T* keys;
  const T* values;
  T* out;
  const int* table;
  int64_t pageSize;
  /** Numbers from slot to slot. */
  int64_t stride;
  /** Place of the first token in its row. */
  int64_t first;
  int64_t tokens, group, width, step;
  /** 0 for none. */
  int64_t window;
  float scale, softCap;
  int64_t FirstKey(int64_t token) const { return window == 0 ? 0 : std::max<int64_t>(0, token - window + 1); }
};

/** Numbers of the widest registers. */
constexpr int64_t kPieceAlign = 16;
/** Numbers from the scores of a query to those of the next. */
constexpr int64_t kScoreStep = kKeyBlock + kPieceAlign;
/** Width of a head in whole registers. */
constexpr int64_t PaddedWidth(int64_t width) { return (width + kPieceAlign - 1) / kPieceAlign * kPieceAlign; }

/** Memory for a piece: of its queries, and of a block of keys. */
struct PieceRoom {
  float *q, *mixed, *tops, *sums, *keys, *values, *scores;
};

/** Products of some queries at a time; see cpu-prompt-tile.h. */
struct PieceTile {
  int64_t queries;
  void (*score)(const float* q, int64_t width, const float* keys, int64_t from, int64_t to, float* scores);
  void (*mix)(const float* weights, const float* values, int64_t from, int64_t to, int64_t padded, const float* factors,
              float* mixed);
};

struct PieceTiles {
  /** Keys that lie beside each other. */
  int64_t panel;
  float (*weigh)(float* scores, int64_t count, float& highest, float& sum);
  /** By falling number of queries. */
  PieceTile tiles[3];
};

struct Best {
  int64_t id;
  float logit;
  /** False where a logit is NaN. */
  bool isNumber;
};

/**
 * eˣ to about 1e-7, between e⁻⁸⁷ and e⁸⁸: a polynomial on |x| ≤ ln 2 / 2 and the exponent's bits. NaN is not one any more.
 *
 * @tparam Numbers of a register, Whole as many of int32
 */
template <typename Numbers, typename Whole>
PLUMBLINE_INLINE Numbers ExponentialOf(Numbers x) {
  const Numbers least = Numbers{} - 87.f, most = Numbers{} + 88.f;
  Numbers bounded = x > least ? x : least;
  bounded = bounded < most ? bounded : most;
  // adding 1.5·2²³ rounds to a whole number
  const Numbers whole = (bounded * 1.44269504f + 12582912.f) - 12582912.f;
  const Numbers rest = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Numbers series = Numbers{} + 1.9875691e-4f;
  for (const float next : {1.3981999e-3f, 8.3334519e-3f, 4.1665796e-2f, 1.6666665e-1f, 5.0000001e-1f}) {
    series = series * rest + next;
  }
  series = series * rest * rest + rest + 1.f;
  return (Numbers)((Whole)series + (__builtin_convertvector(whole, Whole) << 23));
}

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
  void (*attendPiece)(const PieceCall<T>&, const PieceTiles&, const PieceRoom&);
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
  const PieceTiles* tiles;
};

#define PLUMBLINE_COLUMN 32
namespace plain {
#include "cpu-loops-body.h"
#include "cpu-prompt-tile.h"
#include "cpu-prompt-body.h"
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
#include "cpu-prompt-tile.h"
#include "cpu-prompt-body.h"
#include "cpu-training-body.h"
}
#undef PLUMBLINE_COLUMN
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f")
#pragma GCC optimize("O3")
#define PLUMBLINE_COLUMN 64
namespace avx512 {
#include "cpu-prompt-tile.h"
#include "cpu-gate-body.h"
}
#undef PLUMBLINE_COLUMN
#undef PLUMBLINE_FUSED
#pragma GCC pop_options

/** Those of AVX2, but for what is faster on twice the lanes. */
constexpr Loops WiderLoops() {
  Loops loops = avx2::kLoops;
  loops.wide.siluGate = avx512::SiluGate<float>;
  loops.narrow.siluGate = avx512::SiluGate<Bfloat16>;
  return loops;
}
#endif

inline const Loops& CpuLoops() {
#ifdef PLUMBLINE_AVX2_LOOPS
  static constexpr Loops wider = WiderLoops();
  static const bool fits = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  static const bool fitsWider = __builtin_cpu_supports("avx512f");
  if (fits) return fitsWider ? wider : avx2::kLoops;
#endif
  return plain::kLoops;
}

/** Those of the widest registers there are, of so many lanes at most. */
inline const PieceTiles& CpuTiles(int64_t lanes) {
#ifdef PLUMBLINE_AVX2_LOOPS
  static const bool wider = __builtin_cpu_supports("avx512f");
  if (wider && lanes >= avx512::kColumn) return avx512::kTiles;
#endif
  return *CpuLoops().tiles;
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
