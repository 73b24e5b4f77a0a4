// Tiles of x·Wᵀ, in blocks of weights and panels of rows. Included once for each instruction set, in a namespace of its own:
// see cpu-product-tile.h.

/** Puts sums of the first part of the common axis, adds those of a later part. */
template <int W, int C, bool First, typename Weight>
PLUMBLINE_SET PLUMBLINE_INLINE void Put(const Tile<Weight>& t, const Vector (&sums)[C][W]) {
  PLUMBLINE_UNROLLED
  for (int c = 0; c < C; c++) {
    const auto parts = SumsOf(sums[c][0], sums[c][W > 1 ? 1 : 0], sums[c][W > 2 ? 2 : 0], sums[c][W > 3 ? 3 : 0]);
    PLUMBLINE_UNROLLED
    for (int r = 0; r < W; r++) {
      float& out = t.out[c * t.outputs + r];
      out = First ? parts[r] : out + parts[r];
    }
  }
}

/** out[c, r] (+)= Σ x[c, k]·w[r, k]. A sum's order depends on `inner` alone, so a row's numbers do not on its neighbours. */
template <int W, int C, bool First, typename Weight>
PLUMBLINE_SET PLUMBLINE_INLINE void Multiply(const Tile<Weight>& t) {
  // no more of them than there are: a register that held zeros would be one weight's
  Vector sums[C][W];
  PLUMBLINE_UNROLLED
  for (int c = 0; c < C; c++) {
    PLUMBLINE_UNROLLED
    for (int r = 0; r < W; r++) sums[c][r] = Zeros();
  }
  const auto add = [&](int64_t k) PLUMBLINE_LAMBDA {
    Vector w[W];
    PLUMBLINE_UNROLLED
    for (int r = 0; r < W; r++) w[r] = LoadAll(t.weights + r * t.inner + k);
    PLUMBLINE_UNROLLED
    for (int c = 0; c < C; c++) {
      const auto x = LoadAll(t.x + c * t.depth + k);
      PLUMBLINE_UNROLLED
      for (int r = 0; r < W; r++) sums[c][r] = MultiplyAdd(w[r], x, sums[c][r]);
    }
  };
  const char* next = reinterpret_cast<const char*>(t.next);
  const int64_t times = t.depth / (W * kLanes), apart = t.inner * sizeof(Weight), each = t.fetches.each;
  uint64_t place = 0;
  int64_t k = 0;
  for (int64_t time = 0; time < times; time++, place += t.fetches.pace) {
    const char* lines = next + place / kLineParts * kLine;
    PLUMBLINE_UNROLLED
    for (int r = 0; r < W; r++, k += kLanes) {
      add(k);
      for (int64_t i = 0; i < each; i++) __builtin_prefetch(lines + r * apart + i * kLine, 0, 2);
    }
  }
  for (; k < t.depth; k += kLanes) add(k);
  Put<W, C, First>(t, sums);
}

template <int W, bool First, typename Weight>
PLUMBLINE_SET PLUMBLINE_INLINE void MultiplyRows(const Tile<Weight>& tile, int64_t rows) {
  switch (rows) {
    case 1: return Multiply<W, 1, First>(tile);
    case 2: return Multiply<W, 2, First>(tile);
    case 3: return Multiply<W, 3, First>(tile);
    case 4: return Multiply<W, 4, First>(tile);
    case 5:
      if constexpr (kTileRows > 4) return Multiply<W, 5, First>(tile);
    default:
      if constexpr (kTileRows > 5) return Multiply<W, 6, First>(tile);
  }
}

/** Length of the parts that the common axis is added up in: alike, as each costs a tile its last sums. */
inline int64_t DepthOf(int64_t inner) {
  const int64_t parts = std::max<int64_t>(1, (inner + kDepth / 2) / kDepth);
  return (inner / kLanes + parts - 1) / parts * kLanes;
}

/** Rows of a panel, shared out evenly among as few tiles as can take them. */
struct Tiles {
  int64_t rows;
  int64_t count() const { return (rows + kTileRows - 1) / kTileRows; }
  int64_t firstOf(int64_t tile) const { return rows * tile / count(); }
};

/** Those of the panel that begins with `row`. */
template <typename Weight>
Tiles TilesOf(const Product<Weight>& p, int64_t row) {
  return {std::min(kPanelRows, p.rows - row)};
}

/**
 * The panel's rows from `row` on, the parts of a tile's rows one after the other: rows that lie multiples of 4096 bytes apart
 * would push each other out of the first cache. Valid on this thread until the next panel. It begins with a line: what
 * lies on two is loaded twice.
 */
template <typename Weight>
const float* PanelOf(const Product<Weight>& p, int64_t row) {
  const auto tiles = TilesOf(p, row);
  const int64_t part = DepthOf(p.inner);
  const float* x = p.x + row * p.inner;
  if (part >= p.inner || tiles.rows == 1) return x;
  static thread_local std::vector<Line> panel;
  panel.resize(std::max<size_t>(panel.size(), tiles.rows * p.inner / kLineNumbers + 1));
  float* to = panel.data()->numbers;
  for (int64_t tile = 0; tile < tiles.count(); tile++) {
    for (int64_t k = 0; k < p.inner; k += part) {
      for (int64_t r = tiles.firstOf(tile); r < tiles.firstOf(tile + 1); r++) {
        to = std::copy_n(x + r * p.inner + k, std::min(part, p.inner - k), to);
      }
    }
  }
  return panel.data()->numbers;
}

/**
 * What the tiles of a block fetch of the weights behind it, in the order they are multiplied: each a piece of some rows, the
 * next one what follows it. The processor goes on by itself where lines are asked for one after the other in a page of 4096
 * bytes, and takes a while to see it, so that several rows are under way at a time.
 */
template <typename Weight>
struct Behind {
  const Weight* weights;
  int64_t inner, tiles;
  /** Lines of a row that one tile fetches. */
  int64_t lines;
  Fetches fetches;

  /** @param step numbers of a row that a tile multiplies before it fetches */
  Behind(const Weight* weights, int64_t inner, int64_t tiles, int64_t depth, int64_t step)
      : weights(weights), inner(inner), tiles(tiles) {
    const auto shared = [](int64_t all, int64_t parts) { return (all + parts - 1) / parts; };
    const int64_t times = std::max<int64_t>(1, depth / (kTileWeights * step));
    lines = shared(shared(depth * sizeof(Weight), kLine), tiles);
    fetches = {shared(lines, times), lines * kLineParts / times};
  }
  const Weight* of(int64_t tile) const {
    return weights + tile / tiles * kTileWeights * inner + tile % tiles * lines * (kLine / sizeof(Weight));
  }
};

/** Weights `from` to `to`, part `k` of the common axis, with the rows of the panel that begins with `row`. */
template <bool First, typename Weight>
PLUMBLINE_SET void MultiplyBlock(const Product<Weight>& p, const float* panel, int64_t row, int64_t from, int64_t to, int64_t k) {
  const auto tiles = TilesOf(p, row);
  const int64_t depth = std::min(DepthOf(p.inner), p.inner - k);
  // the next part of these weights, else the first of those behind them; a fetch beyond the end does nothing
  const int64_t ahead = k + depth < p.inner ? from * p.inner + k + depth : to * p.inner;
  const Behind<Weight> behind(p.weight + ahead, p.inner, tiles.count(), depth, kLanes);
  int64_t done = 0;
  for (int64_t tile = 0; tile < tiles.count(); tile++) {
    const int64_t first = tiles.firstOf(tile), count = tiles.firstOf(tile + 1) - first;
    const float* x = panel + first * p.inner + count * k;
    int64_t w = from;
    const auto at = [&](const Weight* next, Fetches fetches) {
      const Weight* weights = p.weight + w * p.inner + k;
      float* out = p.out + (row + first) * p.outputs + w;
      return Tile<Weight>{weights, x, out, depth, p.inner, p.outputs, next, fetches};
    };
    for (; w + kTileWeights <= to; w += kTileWeights, done++) {
      MultiplyRows<kTileWeights, First>(at(behind.of(done), behind.fetches), count);
    }
    for (; w < to; w++) MultiplyRows<1, First>(at(nullptr, {}), count);
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
  ParallelFor(0, panels * blocks, std::max<int64_t>(1, ThreadWork() / work), [&](int64_t from, int64_t to) {
    while (from < to) {
      const int64_t panel = from / blocks;
      const int64_t end = std::min(to, (panel + 1) * blocks);
      MultiplyBlocks(p, panel * kPanelRows, from - panel * blocks, end - panel * blocks);
      from = end;
    }
  });
}
