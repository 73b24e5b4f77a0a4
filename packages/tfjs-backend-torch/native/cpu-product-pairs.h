#pragma once
// x·Wᵀ of bfloat16 with AVX-512. A vector holds 32 numbers, in pairs: of each the odd ones are multiplied first and the even ones
// then, in float32 and into the same sums, as the processor's own product of pairs does it. So a row has the same bits by either,
// as long as no number is below 2⁻¹²⁶, which the latter takes for 0.

#include "cpu-product-tile.h"

namespace plumbline {

/** x [rows, inner] · weight [outputs, inner]ᵀ → out [rows, outputs] */
struct PairProduct {
  const c10::BFloat16* x;
  const c10::BFloat16* weight;
  c10::BFloat16* out;
  int64_t rows;
  int64_t inner;
  int64_t outputs;
};

#ifdef PLUMBLINE_PRODUCTS

#define PLUMBLINE_UNROLLED _Pragma("GCC unroll 8")
#define PLUMBLINE_SET __attribute__((target("avx512f,avx512bw,avx512bf16"), optimize("O3")))
namespace pairProducts {

using avx512Products::Vector, avx512Products::Zeros, avx512Products::MultiplyAdd, avx512Products::SumsOf;
using avx512Products::Behind, avx512Products::kTileRows, avx512Products::kTileWeights, avx512Products::Tiles;

/** Numbers of a vector. */
constexpr int64_t kNumbers = 32;

PLUMBLINE_SET PLUMBLINE_INLINE __m512i LoadPairs(const c10::BFloat16* x) { return _mm512_loadu_si512(x); }
PLUMBLINE_SET PLUMBLINE_INLINE Vector OddOf(__m512i x) {
  return _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}
PLUMBLINE_SET PLUMBLINE_INLINE Vector EvenOf(__m512i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)); }

/** What a tile reads, and its sums; distances between rows are in numbers. */
template <typename X>
struct PairTile {
  const c10::BFloat16* weights;
  /** rows `depth` apart: bfloat16 as it lies, or in float32 the odd numbers of each 32 before the even ones */
  const X* x;
  /** rows kBlockWeights apart */
  float* sums;
  int64_t depth;
  int64_t inner;
  /** Weights to fetch for later: a piece of as many rows as the tile has. */
  const c10::BFloat16* next;
  Fetches fetches;
};

/** Adds the products of 32 numbers, from number k on. */
template <int W, int C>
PLUMBLINE_SET PLUMBLINE_INLINE void AddProducts(const PairTile<float>& t, int64_t k, Vector (&sums)[C][W]) {
  PLUMBLINE_UNROLLED
  for (int half = 0; half < 2; half++) {
    Vector w[W];
    PLUMBLINE_UNROLLED
    for (int r = 0; r < W; r++) {
      const auto pairs = LoadPairs(t.weights + r * t.inner + k);
      w[r] = half == 0 ? OddOf(pairs) : EvenOf(pairs);
    }
    PLUMBLINE_UNROLLED
    for (int c = 0; c < C; c++) {
      const auto x = avx512Products::LoadAll(t.x + c * t.depth + k + half * (kNumbers / 2));
      PLUMBLINE_UNROLLED
      for (int r = 0; r < W; r++) sums[c][r] = MultiplyAdd(w[r], x, sums[c][r]);
    }
  }
}

template <int W, int C>
PLUMBLINE_SET PLUMBLINE_INLINE void AddProducts(const PairTile<c10::BFloat16>& t, int64_t k, Vector (&sums)[C][W]) {
  __m512i w[W];
  PLUMBLINE_UNROLLED
  for (int r = 0; r < W; r++) w[r] = LoadPairs(t.weights + r * t.inner + k);
  PLUMBLINE_UNROLLED
  for (int c = 0; c < C; c++) {
    const auto x = LoadPairs(t.x + c * t.depth + k);
    PLUMBLINE_UNROLLED
    for (int r = 0; r < W; r++) sums[c][r] = _mm512_dpbf16_ps(sums[c][r], (__m512bh)w[r], (__m512bh)x);
  }
}

/** sums[c, r] (+)= Σ x[c, k]·w[r, k]; a sum's order depends on `inner` alone. */
template <int W, int C, bool First, typename X>
PLUMBLINE_SET PLUMBLINE_INLINE void Multiply(const PairTile<X>& t) {
  Vector sums[C][W];
  PLUMBLINE_UNROLLED
  for (int c = 0; c < C; c++) {
    PLUMBLINE_UNROLLED
    for (int r = 0; r < W; r++) sums[c][r] = Zeros();
  }
  const char* next = reinterpret_cast<const char*>(t.next);
  const int64_t times = t.depth / (W * kNumbers), apart = t.inner * sizeof(c10::BFloat16), each = t.fetches.each;
  uint64_t place = 0;
  int64_t k = 0;
  for (int64_t time = 0; time < times; time++, place += t.fetches.pace) {
    const char* lines = next + place / kLineParts * kLine;
    PLUMBLINE_UNROLLED
    for (int r = 0; r < W; r++, k += kNumbers) {
      AddProducts<W, C>(t, k, sums);
      for (int64_t i = 0; i < each; i++) __builtin_prefetch(lines + r * apart + i * kLine, 0, 2);
    }
  }
  for (; k < t.depth; k += kNumbers) AddProducts<W, C>(t, k, sums);
  PLUMBLINE_UNROLLED
  for (int c = 0; c < C; c++) {
    const auto parts = SumsOf(sums[c][0], sums[c][W > 1 ? 1 : 0], sums[c][W > 2 ? 2 : 0], sums[c][W > 3 ? 3 : 0]);
    PLUMBLINE_UNROLLED
    for (int r = 0; r < W; r++) {
      float& out = t.sums[c * kBlockWeights + r];
      out = First ? parts[r] : out + parts[r];
    }
  }
}

template <int W, bool First, typename X>
PLUMBLINE_SET PLUMBLINE_INLINE void MultiplyRows(const PairTile<X>& tile, int64_t rows) {
  switch (rows) {
    case 1: return Multiply<W, 1, First>(tile);
    case 2: return Multiply<W, 2, First>(tile);
    case 3: return Multiply<W, 3, First>(tile);
    case 4: return Multiply<W, 4, First>(tile);
    case 5: return Multiply<W, 5, First>(tile);
    default: return Multiply<W, kTileRows, First>(tile);
  }
}

/** Length of the parts that the common axis is added up in. */
inline int64_t DepthOf(int64_t inner) {
  const int64_t parts = std::max<int64_t>(1, (inner + kDepth / 2) / kDepth);
  return (inner / kNumbers + parts - 1) / parts * kNumbers;
}

/** Rows of x, the parts of a tile's rows one after the other; valid on this thread until the next panel. */
template <typename X>
struct Panel {
  const X* x;
  Tiles tiles;
};

/** The one row there is, as it lies. */
inline Panel<c10::BFloat16> RowOf(const PairProduct& p) { return {p.x, {1}}; }

/** Numbers of x in float32, the odd ones of each 32 before the even ones. */
PLUMBLINE_SET inline float* Widen(const c10::BFloat16* x, int64_t count, float* to) {
  for (int64_t k = 0; k < count; k += kNumbers, to += kNumbers) {
    const auto pairs = LoadPairs(x + k);
    _mm512_storeu_ps(to, OddOf(pairs));
    _mm512_storeu_ps(to + kNumbers / 2, EvenOf(pairs));
  }
  return to;
}

inline float* Put(const c10::BFloat16* x, int64_t count, float* to) { return Widen(x, count, to); }
inline c10::BFloat16* Put(const c10::BFloat16* x, int64_t count, c10::BFloat16* to) { return std::copy_n(x, count, to); }

/**
 * Rows from `row` on, as many as a panel holds, as X. They begin with a line of the cache: what lies on two is loaded twice.
 */
template <typename X>
Panel<X> PanelOf(const PairProduct& p, int64_t row) {
  static thread_local std::vector<Line> panel;
  const Tiles tiles{std::min(kPanelRows, p.rows - row)};
  const int64_t part = DepthOf(p.inner);
  panel.resize(std::max<size_t>(panel.size(), tiles.rows * p.inner * sizeof(X) / kLine));
  X* const first = reinterpret_cast<X*>(panel.data());
  X* to = first;
  for (int64_t tile = 0; tile < tiles.count(); tile++) {
    for (int64_t k = 0; k < p.inner; k += part) {
      for (int64_t r = tiles.firstOf(tile); r < tiles.firstOf(tile + 1); r++) {
        to = Put(p.x + (row + r) * p.inner + k, std::min(part, p.inner - k), to);
      }
    }
  }
  return {first, tiles};
}

/** Rounded to the nearest, of two as near to the even one. */
PLUMBLINE_SET inline void Narrow(const float* x, int64_t count, c10::BFloat16* to) {
  for (int64_t i = 0; i < count; i += 16) {
    const auto some = static_cast<__mmask16>(count - i >= 16 ? 0xffff : (1 << (count - i)) - 1);
    const auto numbers = _mm512_maskz_loadu_ps(some, x + i);
    const auto bits = _mm512_castps_si512(numbers);
    const auto even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const auto rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), even), 16);
    const auto odd = _mm512_cmp_ps_mask(numbers, numbers, _CMP_UNORD_Q);
    _mm512_mask_cvtepi32_storeu_epi16(to + i, some, _mm512_mask_mov_epi32(rounded, odd, _mm512_set1_epi32(0x7fc0)));
  }
}

/** Weights `from` to `to`, part k of the common axis, with the rows of a panel. */
template <bool First, typename X>
PLUMBLINE_SET void MultiplyBlock(const PairProduct& p, const Panel<X>& panel, float* sums, int64_t from, int64_t to, int64_t k) {
  const int64_t part = DepthOf(p.inner), depth = std::min(part, p.inner - k);
  // the next part of these weights, else the first of those behind them; a fetch beyond the end does nothing
  const int64_t ahead = k + depth < p.inner ? from * p.inner + k + depth : to * p.inner;
  const Tiles tiles = panel.tiles;
  const Behind<c10::BFloat16> behind(p.weight + ahead, p.inner, tiles.count(), depth, kNumbers);
  int64_t done = 0;
  for (int64_t tile = 0; tile < tiles.count(); tile++) {
    const int64_t first = tiles.firstOf(tile), count = tiles.firstOf(tile + 1) - first;
    const X* x = panel.x + first * p.inner + count * k;
    int64_t w = from;
    const auto at = [&](const c10::BFloat16* next, Fetches fetches) {
      const auto* weights = p.weight + w * p.inner + k;
      float* out = sums + first * kBlockWeights + w - from;
      return PairTile<X>{weights, x, out, depth, p.inner, next, fetches};
    };
    for (; w + kTileWeights <= to; w += kTileWeights, done++) {
      MultiplyRows<kTileWeights, First>(at(behind.of(done), behind.fetches), count);
    }
    for (; w < to; w++) MultiplyRows<1, First>(at(nullptr, {}), count);
  }
}

/** Blocks of weights `from` to `to`, with a panel of rows that begins with `row`. */
template <typename X>
void MultiplyBlocks(const PairProduct& p, const Panel<X>& panel, int64_t row, int64_t from, int64_t to) {
  float sums[kPanelRows * kBlockWeights];
  const int64_t depth = DepthOf(p.inner);
  for (int64_t block = from; block < to; block++) {
    const int64_t first = block * kBlockWeights;
    const int64_t last = std::min(p.outputs, first + kBlockWeights);
    MultiplyBlock<true>(p, panel, sums, first, last, 0);
    for (int64_t k = depth; k < p.inner; k += depth) MultiplyBlock<false>(p, panel, sums, first, last, k);
    for (int64_t r = 0; r < panel.tiles.rows; r++) {
      Narrow(sums + r * kBlockWeights, last - first, p.out + (row + r) * p.outputs + first);
    }
  }
}

/** Whether the processor rounds after the odd number of a pair and after the even one, as we do. */
PLUMBLINE_SET inline bool PairsAgree() {
  // 2⁻²⁴ is half of the last bit of 1: each is lost, both together are not, and a little more than it is not, either
  constexpr int64_t kHalf = 0x3380, kMore = 0x3381;
  const auto x = _mm512_set1_epi64(kHalf << 48 | kMore << 32 | kHalf << 16 | kHalf);
  const auto ones = _mm512_set1_epi32(0x3f803f80);
  const auto start = _mm512_set1_ps(1.f);
  const auto own = MultiplyAdd(EvenOf(x), EvenOf(ones), MultiplyAdd(OddOf(x), OddOf(ones), start));
  const auto other = _mm512_dpbf16_ps(start, (__m512bh)x, (__m512bh)ones);
  return _mm512_cmpeq_epi32_mask(_mm512_castps_si512(own), _mm512_castps_si512(other)) == 0xffff;
}

/** Whether the processor has a product of pairs that gives a row the bits which it has beside others. */
inline bool HasPairs() {
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0 && PairsAgree();
  return has;
}

/** Whether that product is quicker than two multiply-adds: Intel's processors make it at half of their rate, AMD's at twice. */
inline bool PairsPay() {
  static const bool pay = HasPairs() && !__builtin_cpu_is("intel");
  return pay;
}

inline void MultiplyAll(const PairProduct& p) {
  const int64_t blocks = (p.outputs + kBlockWeights - 1) / kBlockWeights;
  const int64_t panels = (p.rows + kPanelRows - 1) / kPanelRows;
  const int64_t work = std::max<int64_t>(1, std::min(p.rows, kPanelRows) * p.inner * kBlockWeights);
  ParallelFor(0, panels * blocks, std::max<int64_t>(1, ThreadWork() / work), [&](int64_t from, int64_t to) {
    while (from < to) {
      const int64_t panel = from / blocks, row = panel * kPanelRows;
      const int64_t end = std::min(to, (panel + 1) * blocks);
      const int64_t first = from - panel * blocks, last = end - panel * blocks;
      // one row waits for memory by either
      if (p.rows == 1 && HasPairs()) MultiplyBlocks(p, RowOf(p), row, first, last);
      else if (PairsPay()) MultiplyBlocks(p, PanelOf<c10::BFloat16>(p, row), row, first, last);
      else MultiplyBlocks(p, PanelOf<float>(p, row), row, first, last);
      from = end;
    }
  });
}

}  // namespace pairProducts
#undef PLUMBLINE_SET
#undef PLUMBLINE_UNROLLED

/** Whether the processor has what it takes, in registers of so many float32, and the common axis is made of whole vectors. */
inline bool FitsPairs(int64_t inner, int64_t lanes) {
  static const bool fits = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  return fits && lanes >= avx512Products::kLanes && inner % pairProducts::kNumbers == 0;
}

inline void MultiplyPairs(const PairProduct& p) { pairProducts::MultiplyAll(p); }

#else

inline bool FitsPairs(int64_t, int64_t) { return false; }
inline void MultiplyPairs(const PairProduct&) {}

#endif

}  // namespace plumbline
