// What is most of the work of attention to many keys: products of a few queries' numbers with panels of keys, and of their
// weights with values. Included once for each width of registers, of PLUMBLINE_COLUMN bytes, in a namespace of its own.

typedef float Column __attribute__((vector_size(PLUMBLINE_COLUMN), aligned(4)));
typedef int32_t WholeColumn __attribute__((vector_size(PLUMBLINE_COLUMN)));
constexpr int64_t kColumn = sizeof(Column) / sizeof(float);
/** Keys whose scores are made together. */
constexpr int64_t kPanel = 2 * kColumn;
static_assert(kKeyBlock % kPanel == 0 && kPieceAlign % kColumn == 0);

PLUMBLINE_INLINE Column ColumnAt(const float* x) { return *reinterpret_cast<const Column*>(x); }
PLUMBLINE_INLINE void PutColumn(float* to, Column x) { *reinterpret_cast<Column*>(to) = x; }

/** One number in all lanes: unlike an addition of zero, this is no operation. */
PLUMBLINE_INLINE Column Same(float x) { return x - Column{}; }

PLUMBLINE_INLINE Column PlusProduct(Column sum, Column a, Column b) {
#if defined(PLUMBLINE_FUSED) && PLUMBLINE_COLUMN == 64
  return (Column)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#elif defined(PLUMBLINE_FUSED)
  return (Column)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#else
  return a * b + sum;
#endif
}

PLUMBLINE_INLINE float SumOfColumn(Column x) {
  float sums[kColumn];
  PutColumn(sums, x);
  for (int64_t half = kColumn / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; i++) sums[i] += sums[i + half];
  }
  return sums[0];
}

/** scores[r, k] = q[r] · key k, of the panels [width, kPanel] that have keys `from` to `to`. */
template <int R>
inline void ScoreTile(const float* q, int64_t width, const float* keys, int64_t from, int64_t to, float* scores) {
  for (int64_t k = from / kPanel * kPanel; k < to; k += kPanel) {
    Column sums[R][2] = {};
    const float* panel = keys + k * width;
    for (int64_t d = 0; d < width; d++, panel += kPanel) {
      const Column a = ColumnAt(panel), b = ColumnAt(panel + kColumn);
      for (int r = 0; r < R; r++) {
        const Column x = Same(q[r * width + d]);
        sums[r][0] = PlusProduct(sums[r][0], x, a);
        sums[r][1] = PlusProduct(sums[r][1], x, b);
      }
    }
    for (int r = 0; r < R; r++) {
      PutColumn(scores + r * kScoreStep + k, sums[r][0]);
      PutColumn(scores + r * kScoreStep + k + kColumn, sums[r][1]);
    }
  }
}

/**
 * Scores to weights of the largest score so far, whose sum goes on. Behind them there is room for as many as fill registers.
 *
 * @returns what the weights before these are to be multiplied by
 */
inline float Weigh(float* scores, int64_t count, float& highest, float& sum) {
  const int64_t whole = (count + kColumn - 1) / kColumn * kColumn;
  std::fill(scores + count, scores + whole, -std::numeric_limits<float>::infinity());
  Column tops = Same(highest), sums = {};
  for (int64_t i = 0; i < whole; i += kColumn) {
    const Column x = ColumnAt(scores + i);
    tops = x > tops ? x : tops;
  }
  float top = tops[0];
  for (int i = 1; i < kColumn; i++) top = tops[i] > top ? tops[i] : top;
  // what is far below the largest, as what fills the last register, adds nothing
  for (int64_t i = 0; i < whole; i += kColumn) {
    const Column x = ColumnAt(scores + i);
    const Column weight = x == x ? ExponentialOf<Column, WholeColumn>(x - top) : x;
    PutColumn(scores + i, weight);
    sums += weight;
  }
  const float factor = highest == top ? 1.f : std::exp(highest - top);
  highest = top;
  sum = sum * factor + SumOfColumn(sums);
  return factor;
}

/** mixed[r] = mixed[r] · factors[r] + Σ weights[r, k] · values[k], over keys `from` to `to`. */
template <int R, int L>
PLUMBLINE_INLINE void MixStrip(const float* weights, const float* values, int64_t from, int64_t to, int64_t padded,
                               const float* factors, float* mixed) {
  Column sums[R][L];
  for (int r = 0; r < R; r++) {
    for (int n = 0; n < L; n++) sums[r][n] = ColumnAt(mixed + r * padded + n * kColumn) * factors[r];
  }
  for (int64_t k = from; k < to; k++) {
    Column value[L];
    for (int n = 0; n < L; n++) value[n] = ColumnAt(values + k * padded + n * kColumn);
    for (int r = 0; r < R; r++) {
      const Column weight = Same(weights[r * kScoreStep + k]);
      for (int n = 0; n < L; n++) sums[r][n] = PlusProduct(sums[r][n], weight, value[n]);
    }
  }
  for (int r = 0; r < R; r++) {
    for (int n = 0; n < L; n++) PutColumn(mixed + r * padded + n * kColumn, sums[r][n]);
  }
}

template <int R>
inline void MixTile(const float* weights, const float* values, int64_t from, int64_t to, int64_t padded, const float* factors,
                    float* mixed) {
  int64_t d = 0;
  for (; d + 2 * kColumn <= padded; d += 2 * kColumn) {
    MixStrip<R, 2>(weights, values + d, from, to, padded, factors, mixed + d);
  }
  for (; d < padded; d += kColumn) MixStrip<R, 1>(weights, values + d, from, to, padded, factors, mixed + d);
}

template <int R>
constexpr PieceTile kTile = {R, ScoreTile<R>, MixTile<R>};

constexpr PieceTiles kTiles = {kPanel, Weigh, {kTile<6>, kTile<2>, kTile<1>}};
