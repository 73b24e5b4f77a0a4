#pragma once
// x·Wᵀ on the CPU. Both operands lie along their common axis, so nothing is packed: weights are read as they lie, once.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <algorithm>

#include "cpu-tensors.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define PLUMBLINE_PRODUCTS
#include <immintrin.h>
#endif

namespace plumbline {

/** x [rows, inner] · weight [outputs, inner]ᵀ → out [rows, outputs] */
struct Product {
  const float* x;
  const float* weight;
  float* out;
  int64_t rows;
  int64_t inner;
  int64_t outputs;
};

#ifdef PLUMBLINE_PRODUCTS

#define PLUMBLINE_AVX2 __attribute__((target("avx2,fma"), optimize("O3")))

/** Rows of x, and weights, that a tile multiplies: 12 sums, 3 weights and a number of x fill the 16 registers. */
constexpr int64_t kTileRows = 4;
constexpr int64_t kTileWeights = 3;
/** Weights that meet all rows of x before the next ones are read: they stay in the second cache. */
constexpr int64_t kBlockWeights = 48;
/** Rows of x that stay in the second cache beside them. */
constexpr int64_t kPanelRows = 64;
/** Numbers of the common axis that are added up before they go to memory: those of a tile stay in the first cache. */
constexpr int64_t kDepth = 768;
/** Products of numbers that are worth another thread. */
constexpr int64_t kThreadWork = 1 << 17;

PLUMBLINE_AVX2 PLUMBLINE_INLINE __m128 SumsOf(__m256 a, __m256 b, __m256 c, __m256 d) {
  const auto pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

/** What a tile reads and writes; distances between rows are in numbers. */
struct Tile {
  const float* weights;
  const float* x;
  float* out;
  int64_t depth;
  int64_t inner;
  int64_t outputs;
  /** Weights to fetch for later, of which this tile takes one line in `turns`, from line `turn` on. */
  const float* next;
  int64_t turn;
  int64_t turns;
};

/** out[c, r] (+)= Σ x[c, k]·w[r, k]. A sum's order depends on `inner` alone, so a row's numbers do not on its neighbours. */
template <int W, int C, bool First>
PLUMBLINE_AVX2 PLUMBLINE_INLINE void Multiply(const Tile& t) {
  __m256 sums[C][4];
  for (int c = 0; c < C; c++) {
    for (int r = 0; r < 4; r++) sums[c][r] = _mm256_setzero_ps();
  }
  int64_t turn = t.turn;
  for (int64_t k = 0; k < t.depth; k += 8) {
    __m256 w[W];
    for (int r = 0; r < W; r++) w[r] = _mm256_loadu_ps(t.weights + r * t.inner + k);
    for (int c = 0; c < C; c++) {
      const auto x = _mm256_loadu_ps(t.x + c * t.inner + k);
      for (int r = 0; r < W; r++) sums[c][r] = _mm256_fmadd_ps(w[r], x, sums[c][r]);
    }
    // a line is two steps long
    if (k % 16 == 0 && turn-- == 0) {
      for (int r = 0; r < W; r++) __builtin_prefetch(t.next + r * t.inner + k, 0, 2);
      turn = t.turns - 1;
    }
  }
  for (int c = 0; c < C; c++) {
    float parts[4];
    _mm_storeu_ps(parts, SumsOf(sums[c][0], sums[c][1], sums[c][2], sums[c][3]));
    for (int r = 0; r < W; r++) {
      float& out = t.out[c * t.outputs + r];
      out = First ? parts[r] : out + parts[r];
    }
  }
}

template <int W, bool First>
PLUMBLINE_AVX2 PLUMBLINE_INLINE void MultiplyRows(const Tile& tile, int64_t rows) {
  switch (rows) {
    case 1: return Multiply<W, 1, First>(tile);
    case 2: return Multiply<W, 2, First>(tile);
    case 3: return Multiply<W, 3, First>(tile);
    default: return Multiply<W, 4, First>(tile);
  }
}

/** Weights `from` to `to`, part `k` of the common axis, with up to kPanelRows rows of x from `row` on. */
template <bool First>
PLUMBLINE_AVX2 void MultiplyBlock(const Product& p, int64_t row, int64_t from, int64_t to, int64_t k) {
  const int64_t rows = std::min(kPanelRows, p.rows - row);
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  const int64_t depth = std::min(kDepth, p.inner - k);
  // the next part of these weights, else the first of those behind them; a fetch beyond the end does nothing
  const int64_t ahead = k + depth < p.inner ? depth : kBlockWeights * p.inner - k;
  for (int64_t tile = 0; tile < tiles; tile++) {
    const int64_t first = row + tile * kTileRows;
    const int64_t count = std::min(kTileRows, row + rows - first);
    int64_t w = from;
    const auto at = [&] {
      const float* weights = p.weight + w * p.inner + k;
      return Tile{weights, p.x + first * p.inner + k, p.out + first * p.outputs + w, depth, p.inner, p.outputs,
                  weights + ahead, tile, tiles};
    };
    for (; w + kTileWeights <= to; w += kTileWeights) MultiplyRows<kTileWeights, First>(at(), count);
    for (; w < to; w++) MultiplyRows<1, First>(at(), count);
  }
}

/** Blocks of weights `from` to `to`, with one panel of rows. */
inline void MultiplyBlocks(const Product& p, int64_t row, int64_t from, int64_t to) {
  for (int64_t block = from; block < to; block++) {
    const int64_t first = block * kBlockWeights;
    const int64_t last = std::min(p.outputs, first + kBlockWeights);
    MultiplyBlock<true>(p, row, first, last, 0);
    for (int64_t k = kDepth; k < p.inner; k += kDepth) MultiplyBlock<false>(p, row, first, last, k);
  }
}

inline void MultiplyAll(const Product& p) {
  const int64_t blocks = (p.outputs + kBlockWeights - 1) / kBlockWeights;
  const int64_t panels = (p.rows + kPanelRows - 1) / kPanelRows;
  const int64_t work = std::max<int64_t>(1, std::min(p.rows, kPanelRows) * p.inner * kBlockWeights);
  at::parallel_for(0, panels * blocks, std::max<int64_t>(1, kThreadWork / work), [&](int64_t from, int64_t to) {
    while (from < to) {
      const int64_t panel = from / blocks;
      const int64_t end = std::min(to, (panel + 1) * blocks);
      MultiplyBlocks(p, panel * kPanelRows, from - panel * blocks, end - panel * blocks);
      from = end;
    }
  });
}

/** AVX-512 is left to MKL where there are many rows: its registers are twice as wide. */
inline bool MultipliesHere(const at::Tensor& x, const at::Tensor& weight) {
  static const bool fits = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  static const bool wider = __builtin_cpu_supports("avx512f");
  constexpr int64_t kFew = 8;
  const auto plain = [](const at::Tensor& t) {
    return t.is_cpu() && t.scalar_type() == at::kFloat && t.dim() == 2 && t.is_contiguous();
  };
  if (!fits || !plain(x) || !plain(weight)) return false;
  return x.size(1) == weight.size(1) && x.size(1) > 0 && x.size(1) % 8 == 0 && (!wider || x.size(0) <= kFew);
}

#else

inline void MultiplyAll(const Product&) {}
inline bool MultipliesHere(const at::Tensor&, const at::Tensor&) { return false; }

#endif

/** rowProduct(x [N, I], weight [O, I]): x·Wᵀ as a new tensor [N, O], or null where that is left to ATen. */
inline Napi::Value RowProduct(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"rowProduct", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto x = Used(TensorOf(info.Env(), info[0]));
    const auto weight = Used(TensorOf(info.Env(), info[1]));
    if (!MultipliesHere(x, weight)) return info.Env().Null();
    const auto out = OutputOf({x, weight}, [&] { return at::empty({x.size(0), weight.size(0)}, x.options()); });
    Do([=] { MultiplyAll({Data(x), Data(weight), Data(out), x.size(0), x.size(1), weight.size(0)}); });
    return Wrap(info.Env(), out, 2);
  });
}

}  // namespace plumbline
