#pragma once
// One new token a row on the CPU: norms, rotation into the cache, attention over its pages.

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "cpu-tensors.h"

namespace plumbline {

/**
 * rmsNorm(x [N, D], addend or null, weight [D] float32, epsilon, sum, out), float32 or bfloat16: sum = x + addend, out = its
 * norm times weight.
 */
inline Napi::Value RmsNorm(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"rmsNorm", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto x = DenseFloat(TensorOf(info.Env(), info[0]));
    const auto addend = DenseOrNone(info, 1, x.scalar_type()), weight = Dense(info, 2);
    const auto epsilon = info[3].As<Napi::Number>().FloatValue();
    const auto sum = Dense(info, 4, x.scalar_type()), out = Dense(info, 5, x.scalar_type());
    CheckSizes(x, {addend.defined() ? addend : x, sum, out});
    const int64_t width = weight.numel();
    if (width == 0 || x.numel() % width != 0) throw ArgumentError("a norm's weight has the width of its rows");
    Do({x, addend, weight, sum, out}, [=](const std::vector<at::Tensor>& t) {
      WithTypeOf(t[0], [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const T *from = DataOf<T>(t[0]), *more = DataOf<T>(t[1]);
        const float* scale = Data(t[2]);
        T *total = DataOf<T>(t[3]), *to = DataOf<T>(t[4]);
        ParallelFor(0, t[0].numel() / width, std::max<int64_t>(1, kGrain / width), [&](int64_t first, int64_t end) {
          for (int64_t row = first; row < end; row++) {
            const int64_t at = row * width;
            const T* added = more == nullptr ? nullptr : more + at;
            CpuLoopsOf<T>().rmsNorm(from + at, added, scale, total + at, to + at, width, epsilon);
          }
        });
      });
    });
    return info.Env().Undefined();
  });
}

inline float* Scalars(float* x) { return x; }
inline const float* Scalars(const float* x) { return x; }
inline c10::BFloat16* Scalars(Bfloat16* x) { return reinterpret_cast<c10::BFloat16*>(x); }
inline const c10::BFloat16* Scalars(const Bfloat16* x) { return reinterpret_cast<const c10::BFloat16*>(x); }

/** The same numbers, rounded where that type is narrower. */
template <typename To, typename From>
void CopyAs(const From* from, int64_t count, To* to) {
  if constexpr (std::is_same_v<From, To>) std::copy_n(from, count, to);
  else std::copy_n(Scalars(from), count, Scalars(to));
}

/** Heads of one token, and the angles that they turn by. */
struct TokenHeads {
  int64_t heads, width, half;
  const float *cos, *sin;
};

/** Turned heads of a token to where they are kept: turned in their own type, and rounded where that is another. */
template <typename From, typename To>
void TurnTo(const TokenHeads& token, const From* from, To* to) {
  const auto [heads, width, half, cos, sin] = token;
  std::vector<From> room(std::is_same_v<From, To> ? 0 : width);
  for (int64_t at = 0; at < heads * width; at += width) {
    if constexpr (std::is_same_v<From, To>) {
      CpuLoopsOf<From>().turnHead(from + at, cos, sin, 1.f, to + at, width, half);
    } else {
      CpuLoopsOf<From>().turnHead(from + at, cos, sin, 1.f, room.data(), width, half);
      CopyAs(room.data(), width, to + at);
    }
  }
}

/** Calls `use` with pointers to a row of one tensor and to a place in another, each of its own type. */
template <typename Use>
void FromTo(const at::Tensor& from, int64_t row, const at::Tensor& to, int64_t place, Use use) {
  WithTypeOf(from, [&](auto* source) {
    WithTypeOf(to, [&](auto* target) {
      using From = std::remove_pointer_t<decltype(source)>;
      using To = std::remove_pointer_t<decltype(target)>;
      use(static_cast<const From*>(DataOf<From>(from)) + row * from.stride(0), DataOf<To>(to) + place);
    });
  });
}

/**
 * cacheHeads(q [N, H·d], k, v [N, K·d], cos, sin [P, R/2], positions [N], slots [N], out, keys, values [S, K, d]): q turned to
 * `out`, k turned and v into their slots; below 0 into none. Heads, and what keeps them, are of float32 or bfloat16.
 */
inline Napi::Value CacheHeads(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"cacheHeads", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto q = RowsOf(info, 0), k = RowsOf(info, 1), v = RowsOf(info, 2), cos = Dense(info, 3), sin = Dense(info, 4);
    const auto positions = Dense(info, 5, at::kInt), slots = Dense(info, 6, at::kInt);
    const auto out = Dense(info, 7, q.scalar_type()), keys = DenseFloat(TensorOf(info.Env(), info[8]));
    const auto values = Dense(info, 9, keys.scalar_type());
    CheckSizes(q, {out});
    CheckSizes(k, {v});
    CheckSizes(keys, {values});
    const int64_t tokens = positions.numel(), width = keys.size(2), keyHeads = keys.size(1), half = cos.size(1);
    const int64_t features = q.size(1), kept = keyHeads * width;
    if (k.size(1) != kept || features % width != 0) throw ArgumentError("heads are as wide as the cache's");
    Do([=] {
      const int *place = positions.data_ptr<int>(), *slot = slots.data_ptr<int>();
      const int64_t held = keys.size(0), known = cos.size(0);
      for (int64_t t = 0; t < tokens; t++) {
        if (place[t] < 0 || place[t] >= known || slot[t] >= held) throw ArgumentError("a token lies outside its tables");
      }
      ParallelFor(0, tokens, std::max<int64_t>(1, kGrain / (features + 1)), [&](int64_t from, int64_t to) {
        for (int64_t t = from; t < to; t++) {
          const TokenHeads token{features / width, width, half, Data(cos) + place[t] * half, Data(sin) + place[t] * half};
          const auto turn = [](TokenHeads each) { return [each](auto* x, auto* y) { TurnTo(each, x, y); }; };
          FromTo(q, t, out, t * features, turn(token));
          if (slot[t] < 0) continue;
          FromTo(k, t, keys, slot[t] * kept, turn({keyHeads, width, half, token.cos, token.sin}));
          FromTo(v, t, values, slot[t] * kept, [=](auto* x, auto* y) { CopyAs(x, kept, y); });
        }
      });
    });
    return info.Env().Undefined();
  });
}

/** Where numbers are made in float32 that PutWide then stores. */
inline float* WideFor(float* out, int64_t, std::vector<float>&) { return out; }
inline float* WideFor(Bfloat16*, int64_t count, std::vector<float>& room) {
  room.resize(count);
  return room.data();
}

inline void PutWide(const float*, float*, int64_t) {}
inline void PutWide(const float* x, Bfloat16* out, int64_t count) { CopyAs(x, count, out); }

/** Queries [N, H, d] and what they attend to: keys and values [S, K, d] in pages that a table [R, W] and spans [3, R] tell of. */
struct PagedArguments {
  at::Tensor q, keys, values, table, spans, out;
  int64_t pageSize, window;
  float scale, softCap;
  int64_t rows, tableWidth, keyHeads, width, heads, group;

  /** A function of a part and a row: 0 gives the row's first query, 1 the number of its queries, 2 that of its keys. */
  auto SpanOf() const {
    return [numbers = spans.data_ptr<int>(), count = rows](int64_t part, int64_t row) -> int64_t {
      return numbers[part * count + row];
    };
  }
};

/** The first ten arguments. */
inline PagedArguments PagedOf(const Napi::CallbackInfo& info) {
  const auto q = DenseFloat(TensorOf(info.Env(), info[0]));
  const auto keys = Dense(info, 1, q.scalar_type()), values = Dense(info, 2, q.scalar_type());
  const auto table = Dense(info, 3, at::kInt), spans = Dense(info, 4, at::kInt), out = Dense(info, 5, q.scalar_type());
  const auto number = [&](size_t i) { return info[i].As<Napi::Number>(); };
  CheckSizes(q, {out});
  CheckSizes(keys, {values});
  const int64_t heads = q.size(1), keyHeads = keys.size(1);
  return {q, keys, values, table, spans, out, number(6).Int64Value(), number(8).Int64Value(), number(7).FloatValue(),
          number(9).FloatValue(), table.size(0), table.size(1), keyHeads, keys.size(2), heads, heads / keyHeads};
}

/**
 * pagedDecode(q [N, H, d], keys, values [S, K, d], table [R, W], spans [3, R], out [N, H, d], pageSize, scale, window, softCap):
 * fills the rows of `out` whose span has one query; window and softCap are 0 for none. q, keys, values and out are of float32 or
 * of bfloat16, of which nothing but the result is rounded.
 */
inline Napi::Value PagedDecode(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"pagedDecode", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto p = PagedOf(info);
    Do([=] {
      const auto span = p.SpanOf();
      int64_t longest = 0;
      for (int64_t row = 0; row < p.rows; row++) {
        if (span(1, row) != 1) continue;
        const bool fits = span(0, row) >= 0 && span(0, row) < p.q.size(0) && span(2, row) <= p.tableWidth * p.pageSize;
        if (!fits) throw ArgumentError("a row's span lies outside its tables");
        longest = std::max(longest, span(2, row));
      }
      const int* pages = p.table.data_ptr<int>();
      const auto firstOf = [&](int64_t row) { return p.window == 0 ? 0 : std::max<int64_t>(0, span(2, row) - p.window); };
      WithTypeOf(p.q, [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const T *asked = DataOf<T>(p.q), *allKeys = DataOf<T>(p.keys), *allValues = DataOf<T>(p.values);
        T* to = DataOf<T>(p.out);
        /** Where the keys of a row begin, for who attends after another. */
        const auto keysOf = [&](int64_t row) {
          const bool attends = row < p.rows && span(1, row) == 1 && span(2, row) > 0;
          const int64_t page = attends ? pages[row * p.tableWidth + firstOf(row) / p.pageSize] : 0;
          return allKeys + page * p.pageSize * p.keyHeads * p.width;
        };
        const int64_t work = p.group * p.width * std::max<int64_t>(1, longest);
        ParallelFor(0, p.rows * p.keyHeads, std::max<int64_t>(1, kGrain / work), [&](int64_t from, int64_t end) {
          std::vector<float> scores(std::min(p.keyHeads, end - from) * p.group * longest), queries, mixed;
          while (from < end) {
            const int64_t row = from / p.keyHeads, head = from % p.keyHeads, count = std::min(end - from, p.keyHeads - head);
            from += count;
            if (span(1, row) != 1) continue;
            const int64_t at = (span(0, row) * p.heads + head * p.group) * p.width, place = head * p.width;
            const int64_t size = count * p.group * p.width;
            float* made = WideFor(to + at, size, mixed);
            const RowCall<T> call{WideOf(asked + at, size, queries), allKeys + place, allValues + place, made,
                                  pages + row * p.tableWidth, p.pageSize, firstOf(row), span(2, row), count, p.group, p.width,
                                  p.keyHeads * p.width, p.scale, p.softCap, keysOf(row + 1)};
            CpuLoopsOf<T>().decodeRow(call, scores.data());
            PutWide(made, to + at, size);
          }
        });
      });
    });
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
