#pragma once
// Attention of several new tokens a row on the CPU, over the pages that hold their keys and those before them.

#include <algorithm>
#include <atomic>
#include <limits>
#include <type_traits>
#include <vector>

#include "cpu-decode.h"
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
    const auto p = PagedOf(info);
    const int64_t lanes = info[10].IsNumber() ? info[10].As<Napi::Number>().Int64Value() : std::numeric_limits<int64_t>::max();
    const auto& tiles = CpuTiles(lanes);
    Do([=, &tiles] {
      const auto span = p.SpanOf();
      std::vector<Piece> pieces;
      for (int64_t row = 0; row < p.rows; row++) {
        const int64_t start = span(0, row), count = span(1, row), length = span(2, row);
        if (count <= 1) continue;
        const bool fits = start >= 0 && start + count <= p.q.size(0) && count <= length && length <= p.tableWidth * p.pageSize;
        if (!fits) throw ArgumentError("a row's span lies outside its tables");
        for (int64_t i = 0; i < count; i += kPieceTokens) pieces.push_back({row, i, std::min(kPieceTokens, count - i)});
      }
      WithTypeOf(p.q, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const int64_t all = static_cast<int64_t>(pieces.size());
        // whoever has time takes the next, as pieces at the end of a row have more keys than those at its beginning
        std::atomic<int64_t> next{0};
        ParallelFor(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
          const PieceMemory memory(kPieceTokens * p.group, p.width);
          for (int64_t i; (i = next.fetch_add(1)) < all * p.keyHeads;) {
            const auto& [row, first, tokens] = pieces[i / p.keyHeads];
            const int64_t head = i % p.keyHeads, place = head * p.width;
            const int64_t at = ((span(0, row) + first) * p.heads + head * p.group) * p.width;
            const PieceCall<T> call{DataOf<T>(p.q) + at, DataOf<T>(p.keys) + place, DataOf<T>(p.values) + place,
                                    DataOf<T>(p.out) + at, p.table.data_ptr<int>() + row * p.tableWidth, p.pageSize,
                                    p.keyHeads * p.width, span(2, row) - span(1, row) + first, tokens, p.group, p.width,
                                    p.heads * p.width, p.window, p.scale, p.softCap};
            CpuLoopsOf<T>().attendPiece(call, tiles, memory.room());
          }
        });
      });
    });
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
