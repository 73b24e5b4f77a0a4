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

/** The sum of each. */
PLUMBLINE_AVX2 PLUMBLINE_INLINE __m128 SumsOf(__m256 a, __m256 b, __m256 c, __m256 d) {
  const auto ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  const auto cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
  const auto all = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
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

/** Puts sums of the first part of the common axis, adds those of a later part. */
template <int W, int C, bool First, typename Weight>
PLUMBLINE_AVX2 PLUMBLINE_INLINE void Put(const Tile<Weight>& t, const __m256 (&sums)[C][W]) {
  __m128 parts[W];
  for (int r = 0; r < W; r++) {
    parts[r] = SumsOf(sums[0][r], sums[C > 1 ? 1 : 0][r], sums[C > 2 ? 2 : 0][r], sums[C > 3 ? 3 : 0][r]);
  }
  for (int c = 0; c < C; c++) {
    for (int r = 0; r < W; r++) {
      float& out = t.out[c * t.outputs + r];
      out = First ? parts[r][c] : out + parts[r][c];
    }
  }
}

/** out[c, r] (+)= Σ x[c, k]·w[r, k]. A sum's order depends on `inner` alone, so a row's numbers do not on its neighbours. */
template <int W, int C, bool First, typename Weight>
PLUMBLINE_AVX2 PLUMBLINE_INLINE void Multiply(const Tile<Weight>& t) {
  // no more of them than there are: a register that held zeros would be one weight's
  __m256 sums[C][W];
  for (int c = 0; c < C; c++) {
    for (int r = 0; r < W; r++) sums[c][r] = _mm256_setzero_ps();
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
  Put<W, C, First>(t, sums);
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
