#pragma once
// x·Wᵀ of a few rows on the CPU, for the vector registers that the processor has.

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu-loops.h"
#include "team.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define PLUMBLINE_PRODUCTS
#include <immintrin.h>
#endif

namespace plumbline {

/** x [rows, inner] · weight [outputs, inner]ᵀ → out [rows, outputs] */
template <typename Weight>
struct Product {
  const float* x;
  const Weight* weight;
  float* out;
  int64_t rows;
  int64_t inner;
  int64_t outputs;
};

#ifdef PLUMBLINE_PRODUCTS

/** Weights that meet all rows of x before the next ones are read: they stay in the second cache. */
constexpr int64_t kBlockWeights = 48;
/** Rows of x that stay in the second cache beside them. */
constexpr int64_t kPanelRows = 64;
/** Numbers of the common axis, about, that are added up before they go to memory: those of a tile stay in the first cache. */
constexpr int64_t kDepth = 768;
/** Products of numbers that are worth another thread; more where it has to be woken, as no team waits for work. */
inline int64_t ThreadWork() { return Team::Current() == nullptr ? 1 << 19 : 1 << 17; }

/** Bytes of a line of the cache. */
constexpr int64_t kLine = 64;
constexpr int64_t kLineNumbers = kLine / sizeof(float);
/** Parts of a line, in which a pace is counted. */
constexpr uint64_t kLineParts = 4096;

struct alignas(kLine) Line {
  float numbers[kLineNumbers];
};

/** How a tile fetches a piece of each of some rows: so many lines at a time, from one time to the next so many parts of a line. */
struct Fetches {
  int64_t each;
  uint64_t pace;
};

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
  /** Weights to fetch for later: a piece of as many rows as the tile has. */
  const Weight* next;
  Fetches fetches;
};

#define PLUMBLINE_UNROLLED _Pragma("GCC unroll 8")

#define PLUMBLINE_SET __attribute__((target("avx2,fma"), optimize("O3")))
namespace avx2Products {

using Vector = __m256;
constexpr int64_t kLanes = 8;
/** Rows of x, and weights, that a tile multiplies: 12 sums, 3 weights and a number of x fill the 16 registers. */
constexpr int64_t kTileRows = 4;
constexpr int64_t kTileWeights = 3;

PLUMBLINE_SET PLUMBLINE_INLINE Vector Zeros() { return _mm256_setzero_ps(); }
PLUMBLINE_SET PLUMBLINE_INLINE Vector LoadAll(const float* numbers) { return _mm256_loadu_ps(numbers); }
PLUMBLINE_SET PLUMBLINE_INLINE Vector MultiplyAdd(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }

/** A bfloat16 is the upper half of a float32. */
PLUMBLINE_SET PLUMBLINE_INLINE Vector LoadAll(const c10::BFloat16* numbers) {
  const auto halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/** The sum of each. */
PLUMBLINE_SET PLUMBLINE_INLINE __m128 SumsOf(Vector a, Vector b, Vector c, Vector d) {
  const auto ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  const auto cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
  const auto all = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

#include "cpu-product-body.h"

}  // namespace avx2Products
#undef PLUMBLINE_SET

#define PLUMBLINE_SET __attribute__((target("avx512f"), optimize("O3")))
namespace avx512Products {

using Vector = __m512;
constexpr int64_t kLanes = 16;
/** 24 sums, 4 weights and a number of x, of 32 registers. */
constexpr int64_t kTileRows = 6;
constexpr int64_t kTileWeights = 4;

PLUMBLINE_SET PLUMBLINE_INLINE Vector Zeros() { return _mm512_setzero_ps(); }
PLUMBLINE_SET PLUMBLINE_INLINE Vector LoadAll(const float* numbers) { return _mm512_loadu_ps(numbers); }
PLUMBLINE_SET PLUMBLINE_INLINE Vector MultiplyAdd(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }

PLUMBLINE_SET PLUMBLINE_INLINE Vector LoadAll(const c10::BFloat16* numbers) {
  const auto halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(numbers));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/** Two lanes of each vector, side by side, in each quarter: half as many shuffles as by unpacking. */
PLUMBLINE_SET PLUMBLINE_INLINE Vector HalvesOf(Vector a, Vector b) {
  return _mm512_add_ps(_mm512_mask_blend_ps(0xcccc, a, b), _mm512_shuffle_ps(a, b, 0x4e));
}

PLUMBLINE_SET PLUMBLINE_INLINE __m128 SumsOf(Vector a, Vector b, Vector c, Vector d) {
  const auto ab = HalvesOf(a, b), cd = HalvesOf(c, d);
  const auto all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x88), _mm512_shuffle_ps(ab, cd, 0xdd));
  const auto upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(all), 1));
  const auto half = _mm256_add_ps(_mm512_castps512_ps256(all), upper);
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

#include "cpu-product-body.h"

}  // namespace avx512Products
#undef PLUMBLINE_SET
#undef PLUMBLINE_UNROLLED

#endif

}  // namespace plumbline
