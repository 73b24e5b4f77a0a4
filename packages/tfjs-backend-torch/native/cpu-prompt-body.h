// Attention of many queries of a row at a time. Included as cpu-loops-body.h is, behind it.

/** Slots that are fetched ahead: the processor does not foresee where they lie. */
constexpr int64_t kAhead = 8;

/**
 * Keys and values of places `from` to `to`, from pages to where they are read: keys in panels [panels, width, panel], whatever
 * was there behind the last, values [places, padded].
 */
template <typename T>
inline void LayBlock(const PieceCall<T>& c, int64_t from, int64_t to, int64_t panel, const PieceRoom& room) {
  const int64_t count = to - from, padded = PaddedWidth(c.width);
  for (int64_t i = 0; i < count; i++) {
    const T *key = SlotOf(c, c.keys, from + i), *value = SlotOf(c, c.values, from + i);
    if (i + kAhead < count) {
      Fetch(SlotOf(c, c.keys, from + i + kAhead), 1, 0, c.width);
      Fetch(SlotOf(c, c.values, from + i + kAhead), 1, 0, c.width);
    }
    float *column = room.keys + i / panel * panel * c.width + i % panel, *line = room.values + i * padded;
    InSteps(c.width, [&](int64_t d, int64_t n) PLUMBLINE_LAMBDA {
      const Lanes x = At(key + d, n);
      for (int64_t j = 0; j < n; j++) column[(d + j) * panel] = x[j];
      Put(line + d, At(value + d, n), n);
    });
  }
}

/**
 * Queries of tokens that follow one another, as many as the tile has, over the keys of a block that they see: each adds up in
 * the order of places, whatever it is computed with.
 *
 * @param query of the piece, the first one's
 * @param token of the row, the first one's
 */
template <typename T>
inline void AttendTile(const PieceCall<T>& c, const PieceTiles& tiles, const PieceTile& tile, int64_t query, int64_t token,
                       int64_t block, const PieceRoom& room) {
  const int64_t padded = PaddedWidth(c.width);
  const auto firstOf = [&](int64_t t) { return std::max<int64_t>(0, c.FirstKey(t) - block); };
  const auto endOf = [&](int64_t t) { return std::min(kKeyBlock, t + 1 - block); };
  const int64_t from = firstOf(token), to = endOf(token + tile.queries - 1);
  if (from >= to) return;
  tile.score(room.q + query * c.width, c.width, room.keys, from, to, room.scores);
  float factors[kPieceTile];
  for (int r = 0; r < tile.queries; r++) {
    float* scores = room.scores + r * kScoreStep;
    const int64_t first = std::min(to, firstOf(token + r)), end = std::max(first, endOf(token + r));
    for (int64_t k = first; c.softCap != 0 && k < end; k++) scores[k] = c.softCap * std::tanh(scores[k] / c.softCap);
    factors[r] = tiles.weigh(scores + first, end - first, room.tops[query + r], room.sums[query + r]);
    std::fill(scores + from, scores + first, 0.f);
    std::fill(scores + end, scores + to, 0.f);
  }
  tile.mix(room.scores, room.values, from, to, padded, factors, room.mixed + query * padded);
}

/** Attention of the queries of a piece. */
template <typename T>
inline void AttendPiece(const PieceCall<T>& c, const PieceTiles& tiles, const PieceRoom& room) {
  const int64_t queries = c.tokens * c.group, padded = PaddedWidth(c.width), end = c.first + c.tokens;
  std::fill_n(room.mixed, queries * padded, 0.f);
  std::fill_n(room.sums, queries, 0.f);
  std::fill_n(room.tops, queries, -std::numeric_limits<float>::infinity());
  const auto placeOf = [&](int64_t query) { return query % c.tokens * c.step + query / c.tokens * c.width; };
  for (int64_t i = 0; i < queries; i++) {
    if (i + kAhead < queries) Fetch(c.q + placeOf(i + kAhead), 1, 0, c.width);
    InSteps(c.width, [&](int64_t d, int64_t n) PLUMBLINE_LAMBDA {
      Put(room.q + i * c.width + d, At(c.q + placeOf(i) + d, n) * c.scale, n);
    });
  }
  for (int64_t block = c.FirstKey(c.first) / kKeyBlock * kKeyBlock; block < end; block += kKeyBlock) {
    LayBlock(c, block, std::min(block + kKeyBlock, end), tiles.panel, room);
    for (int64_t g = 0; g < c.group; g++) {
      int64_t t = 0;
      for (const auto& tile : tiles.tiles) {
        for (; t + tile.queries <= c.tokens; t += tile.queries) {
          AttendTile(c, tiles, tile, g * c.tokens + t, c.first + t, block, room);
        }
      }
    }
  }
  for (int64_t i = 0; i < queries; i++) {
    const float inverse = 1.f / room.sums[i];
    InSteps(c.width, [&](int64_t d, int64_t n) PLUMBLINE_LAMBDA {
      Put(c.out + placeOf(i) + d, At(room.mixed + i * padded + d, n) * inverse, n);
    });
  }
}
