#pragma once
// Attention of several new tokens a row on the CPU, over the pages that hold their keys and those before them.

#include <algorithm>
#include <atomic>
#include <limits>
#include <type_traits>
#include <vector>

#include "cpu-tensors.h"

namespace plumbline {

/** Tokens of a row whose queries one thread takes at a time: so many share what is laid out of their keys. */
constexpr int64_t kPieceTokens = 128;

/** The room for pieces of so many queries, one after another. */
class PieceMemory {
 public:
  PieceMemory(int64_t queries, int64_t width) {
    const int64_t padded = PaddedWidth(width);
    const int64_t sizes[] = {queries * width, queries * padded, queries, queries, kKeyBlock * width, kKeyBlock * padded,
                             kPieceTile * kScoreStep};
    float** parts[] = {&room_.q, &room_.mixed, &room_.tops, &room_.sums, &room_.keys, &room_.values, &room_.scores};
    int64_t all = 0;
    for (const int64_t size : sizes) all += size;
    numbers_.resize(all);
    float* next = numbers_.data();
    for (size_t i = 0; i < std::size(sizes); next += sizes[i++]) *parts[i] = next;
  }
  const PieceRoom& room() const { return room_; }

 private:
  std::vector<float> numbers_;
  PieceRoom room_;
};

/** Some tokens of a row. */
struct Piece {
  int64_t row, first, tokens;
};

/**
 * pagedPrompts(q [N, H, d], keys, values [S, K, d], table [R, W], spans [3, R], out [N, H, d], pageSize, scale, window, softCap,
 * lanes): fills the rows of `out` whose span has several queries, as pagedDecode does those of one; in registers of so many lanes
 * at most where a number is given. A token's numbers are the same bits whichever tokens of its row are with it.
 */
inline Napi::Value PagedPrompts(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"pagedPrompts", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto q = DenseFloat(TensorOf(info.Env(), info[0]));
    const auto keys = Dense(info, 1, q.scalar_type()), values = Dense(info, 2, q.scalar_type());
    const auto table = Dense(info, 3, at::kInt), spans = Dense(info, 4, at::kInt), out = Dense(info, 5, q.scalar_type());
    const auto number = [&](size_t i) { return info[i].As<Napi::Number>(); };
    const int64_t pageSize = number(6).Int64Value(), window = number(8).Int64Value();
    const float scale = number(7).FloatValue(), softCap = number(9).FloatValue();
    const auto& tiles = CpuTiles(info[10].IsNumber() ? number(10).Int64Value() : std::numeric_limits<int64_t>::max());
    CheckSizes(q, {out});
    CheckSizes(keys, {values});
    const int64_t rows = table.size(0), tableWidth = table.size(1), keyHeads = keys.size(1), width = keys.size(2);
    const int64_t heads = q.size(1), group = heads / keyHeads;
    Do([=, &tiles] {
      const int* numbers = spans.data_ptr<int>();
      const auto span = [&](int64_t part, int64_t row) { return static_cast<int64_t>(numbers[part * rows + row]); };
      std::vector<Piece> pieces;
      for (int64_t row = 0; row < rows; row++) {
        const int64_t start = span(0, row), count = span(1, row), length = span(2, row);
        if (count <= 1) continue;
        const bool fits = start >= 0 && start + count <= q.size(0) && count <= length && length <= tableWidth * pageSize;
        if (!fits) throw ArgumentError("a row's span lies outside its tables");
        for (int64_t i = 0; i < count; i += kPieceTokens) pieces.push_back({row, i, std::min(kPieceTokens, count - i)});
      }
      WithTypeOf(q, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const int64_t all = static_cast<int64_t>(pieces.size());
        // whoever has time takes the next, as pieces at the end of a row have more keys than those at its beginning
        std::atomic<int64_t> next{0};
        ParallelFor(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
          const PieceMemory memory(kPieceTokens * group, width);
          for (int64_t i; (i = next.fetch_add(1)) < all * keyHeads;) {
            const auto& [row, first, tokens] = pieces[i / keyHeads];
            const int64_t head = i % keyHeads, place = head * width;
            const int64_t at = ((span(0, row) + first) * heads + head * group) * width;
            const PieceCall<T> call{DataOf<T>(q) + at, DataOf<T>(keys) + place, DataOf<T>(values) + place, DataOf<T>(out) + at,
                                    table.data_ptr<int>() + row * tableWidth, pageSize, keyHeads * width,
                                    span(2, row) - span(1, row) + first, tokens, group, width, heads * width, window,
                                    scale, softCap};
            CpuLoopsOf<T>().attendPiece(call, tiles, memory.room());
          }
        });
      });
    });
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
