#pragma once
// The innermost part of products on the CPU: a few rows of x by a few weights, in the registers of AVX2.

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "cpu-loops.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define PLUMBLINE_PRODUCTS
#include <immintrin.h>
#endif

#ifdef PLUMBLINE_PRODUCTS

namespace plumbline {

#define PLUMBLINE_AVX2 __attribute__((target("avx2,fma"), optimize("O3")))

/** Rows of x, and weights, that a tile multiplies: 12 sums, 3 weights and a number of x fill the 16 registers. */
constexpr int64_t kTileRows = 4;
constexpr int64_t kTileWeights = 3;

PLUMBLINE_AVX2 PLUMBLINE_INLINE __m128 SumsOf(__m256 a, __m256 b, __m256 c, __m256 d) {
  const auto pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

PLUMBLINE_AVX2 PLUMBLINE_INLINE __m256 EightOf(const float* numbers) { return _mm256_loadu_ps(numbers); }

/** A bfloat16 is the upper half of a float32. */
PLUMBLINE_AVX2 PLUMBLINE_INLINE __m256 EightOf(const c10::BFloat16* numbers) {
  const auto halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/** What a tile reads and writes; distances between rows are in numbers. */
template <typename Weight>
struct Tile {
  const Weight* weights;
  /** rows `depth` apart */
  const float* x;
  float* out;
  int64_t depth;
  int64_t inner;
  int64_t outputs;
  /** Weights to fetch for later, of which this tile takes one line in `turns`, from line `turn` on. */
  const Weight* next;
  int64_t turn;
  int64_t turns;
};

/** Sums of the first part of the common axis. */
template <int W, int C, typename Weight>
PLUMBLINE_AVX2 PLUMBLINE_INLINE void Store(const Tile<Weight>& t, const __m256 (&sums)[C][4]) {
  for (int c = 0; c < C; c++) {
    float parts[4];
    _mm_storeu_ps(parts, SumsOf(sums[c][0], sums[c][1], sums[c][2], sums[c][3]));
    for (int r = 0; r < W; r++) t.out[c * t.outputs + r] = parts[r];
  }
}

/** Those of a later part: all are made before the first is added, which takes less time than one by one. */
template <int W, int C, typename Weight>
PLUMBLINE_AVX2 PLUMBLINE_INLINE void Add(const Tile<Weight>& t, const __m256 (&sums)[C][4]) {
  float parts[W][4];
  for (int r = 0; r < W; r++) {
    _mm_storeu_ps(parts[r], SumsOf(sums[0][r], sums[C > 1 ? 1 : 0][r], sums[C > 2 ? 2 : 0][r], sums[C > 3 ? 3 : 0][r]));
  }
  for (int c = 0; c < C; c++) {
    for (int r = 0; r < W; r++) t.out[c * t.outputs + r] += parts[r][c];
  }
}

/** out[c, r] (+)= Σ x[c, k]·w[r, k]. A sum's order depends on `inner` alone, so a row's numbers do not on its neighbours. */
template <int W, int C, bool First, typename Weight>
PLUMBLINE_AVX2 PLUMBLINE_INLINE void Multiply(const Tile<Weight>& t) {
  __m256 sums[C][4];
  for (int c = 0; c < C; c++) {
    for (int r = 0; r < 4; r++) sums[c][r] = _mm256_setzero_ps();
  }
  /** Numbers of a line of the cache. */
  constexpr int64_t kLine = 64 / sizeof(Weight);
  int64_t turn = t.turn;
  for (int64_t k = 0; k < t.depth; k += 8) {
    __m256 w[W];
    for (int r = 0; r < W; r++) w[r] = EightOf(t.weights + r * t.inner + k);
    for (int c = 0; c < C; c++) {
      const auto x = _mm256_loadu_ps(t.x + c * t.depth + k);
      for (int r = 0; r < W; r++) sums[c][r] = _mm256_fmadd_ps(w[r], x, sums[c][r]);
    }
    if (k % kLine == 0 && turn-- == 0) {
      for (int r = 0; r < W; r++) __builtin_prefetch(t.next + r * t.inner + k, 0, 2);
      turn = t.turns - 1;
    }
  }
  if constexpr (First) Store<W>(t, sums);
  else Add<W>(t, sums);
}

template <int W, bool First, typename Weight>
PLUMBLINE_AVX2 PLUMBLINE_INLINE void MultiplyRows(const Tile<Weight>& tile, int64_t rows) {
  switch (rows) {
    case 1: return Multiply<W, 1, First>(tile);
    case 2: return Multiply<W, 2, First>(tile);
    case 3: return Multiply<W, 3, First>(tile);
    default: return Multiply<W, 4, First>(tile);
  }
}

}  // namespace plumbline

#endif
