#pragma once
// x·Wᵀ on the CPU. Both operands lie along their common axis: weights are read as they lie, once.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <algorithm>
#include <vector>

#include "cpu-product-tile.h"
#include "cpu-tensors.h"

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
/** Products of numbers that are worth another thread. */
constexpr int64_t kThreadWork = 1 << 17;

/** Length of the parts that the common axis is added up in: alike, as each costs a tile its last sums. */
inline int64_t DepthOf(int64_t inner) {
  const int64_t parts = std::max<int64_t>(1, (inner + kDepth / 2) / kDepth);
  return (inner / 8 + parts - 1) / parts * 8;
}

/**
 * Up to kPanelRows rows of x from `row` on, the parts of a tile's rows one after the other: rows that lie multiples of 4096
 * bytes apart would push each other out of the first cache. Valid on this thread until the next panel.
 */
template <typename Weight>
const float* PanelOf(const Product<Weight>& p, int64_t row) {
  const int64_t end = std::min(p.rows, row + kPanelRows), part = DepthOf(p.inner);
  const float* x = p.x + row * p.inner;
  if (part >= p.inner || end - row == 1) return x;
  static thread_local std::vector<float> panel;
  panel.resize(std::max<size_t>(panel.size(), (end - row) * p.inner));
  float* to = panel.data();
  for (int64_t first = row; first < end; first += kTileRows) {
    for (int64_t k = 0; k < p.inner; k += part) {
      for (int64_t r = first; r < std::min(end, first + kTileRows); r++) {
        to = std::copy_n(p.x + r * p.inner + k, std::min(part, p.inner - k), to);
      }
    }
  }
  return panel.data();
}

/** Weights `from` to `to`, part `k` of the common axis, with up to kPanelRows rows of x from `row` on, as PanelOf has them. */
template <bool First, typename Weight>
PLUMBLINE_AVX2 void MultiplyBlock(const Product<Weight>& p, const float* panel, int64_t row, int64_t from, int64_t to, int64_t k) {
  const int64_t rows = std::min(kPanelRows, p.rows - row);
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  const int64_t depth = std::min(DepthOf(p.inner), p.inner - k);
  // the next part of these weights, else the first of those behind them; a fetch beyond the end does nothing
  const int64_t ahead = k + depth < p.inner ? depth : kBlockWeights * p.inner - k;
  for (int64_t tile = 0; tile < tiles; tile++) {
    const int64_t first = row + tile * kTileRows;
    const int64_t count = std::min(kTileRows, row + rows - first);
    int64_t w = from;
    const auto at = [&] {
      const Weight* weights = p.weight + w * p.inner + k;
      const float* x = panel + (first - row) * p.inner + count * k;
      return Tile<Weight>{weights, x, p.out + first * p.outputs + w, depth, p.inner, p.outputs, weights + ahead, tile, tiles};
    };
    for (; w + kTileWeights <= to; w += kTileWeights) MultiplyRows<kTileWeights, First>(at(), count);
    for (; w < to; w++) MultiplyRows<1, First>(at(), count);
  }
}

/** Blocks of weights `from` to `to`, with one panel of rows. */
template <typename Weight>
void MultiplyBlocks(const Product<Weight>& p, int64_t row, int64_t from, int64_t to) {
  const float* panel = PanelOf(p, row);
  const int64_t depth = DepthOf(p.inner);
  for (int64_t block = from; block < to; block++) {
    const int64_t first = block * kBlockWeights;
    const int64_t last = std::min(p.outputs, first + kBlockWeights);
    MultiplyBlock<true>(p, panel, row, first, last, 0);
    for (int64_t k = depth; k < p.inner; k += depth) MultiplyBlock<false>(p, panel, row, first, last, k);
  }
}

template <typename Weight>
void MultiplyAll(const Product<Weight>& p) {
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
  const auto plain = [&](const at::Tensor& t) {
    const auto type = t.scalar_type();
    const bool known = type == at::kFloat || type == at::kBFloat16;
    return t.is_cpu() && known && type == weight.scalar_type() && t.dim() == 2 && t.is_contiguous();
  };
  if (!fits || !plain(x) || !plain(weight)) return false;
  return x.size(1) == weight.size(1) && x.size(1) > 0 && x.size(1) % 8 == 0 && (!wider || x.size(0) <= kFew);
}

#else

template <typename Weight>
void MultiplyAll(const Product<Weight>&) {}
inline bool MultipliesHere(const at::Tensor&, const at::Tensor&) { return false; }

#endif

/** rowProduct(x [N, I], weight [O, I]), both float32 or bfloat16: x·Wᵀ as a new tensor [N, O], or null where that is left to ATen. */
inline Napi::Value RowProduct(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"rowProduct", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto x = Used(TensorOf(info.Env(), info[0]));
    const auto weight = Used(TensorOf(info.Env(), info[1]));
    if (!MultipliesHere(x, weight)) return info.Env().Null();
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
        MultiplyAll<float>({Data(t[0]), Data(t[1]), Data(t[2]), rows, inner, outputs});
      });
    } else {
      const auto wideX = make(inner, at::kFloat), wideOut = make(outputs, at::kFloat);
      Do({x, weight, wideX, wideOut, out}, [=](const std::vector<at::Tensor>& t) {
        t[2].copy_(t[0]);
        MultiplyAll<c10::BFloat16>({Data(t[2]), t[1].data_ptr<c10::BFloat16>(), Data(t[3]), rows, inner, outputs});
        t[4].copy_(t[3]);
      });
    }
    return Wrap(info.Env(), out, 2);
  });
}

}  // namespace plumbline
