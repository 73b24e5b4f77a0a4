// The loops of CPU kernels on eight numbers at a time; bfloat16 is read and written as it lies, and computed with in
// float32. Included once for each instruction set, in a namespace of its own: see cpu-loops.h.

typedef float Lanes __attribute__((vector_size(32), aligned(4)));
typedef int32_t Whole __attribute__((vector_size(32), aligned(4)));
constexpr int64_t kLanes = 8;

PLUMBLINE_INLINE Lanes All(float x) { return Lanes{} + x; }

PLUMBLINE_INLINE Lanes Load(const float* x) { return *reinterpret_cast<const Lanes*>(x); }

PLUMBLINE_INLINE void Store(float* to, Lanes x) { *reinterpret_cast<Lanes*>(to) = x; }

/** The first `count` numbers, and zeros. */
PLUMBLINE_INLINE Lanes LoadSome(const float* x, int64_t count) {
  Lanes lanes = {};
  std::memcpy(&lanes, x, count * sizeof(float));
  return lanes;
}

/** a·b + c: where the compiler may choose, one loop rounds the product and another does not. */
PLUMBLINE_INLINE Lanes MultiplyAdd(Lanes a, Lanes b, Lanes c) {
#ifdef PLUMBLINE_FUSED
  return (Lanes)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

PLUMBLINE_INLINE float SumOf(Lanes x) {
  x += __builtin_shuffle(x, Whole{4, 5, 6, 7, 0, 1, 2, 3});
  x += __builtin_shuffle(x, Whole{2, 3, 0, 1, 6, 7, 4, 5});
  x += __builtin_shuffle(x, Whole{1, 0, 3, 2, 5, 4, 7, 6});
  return x[0];
}

PLUMBLINE_INLINE Lanes Exponential(Lanes x) { return ExponentialOf<Lanes, Whole>(x); }

/** Calls `each(from, count)` for steps of eight numbers, and for the rest. */
template <typename Each>
PLUMBLINE_INLINE void InSteps(int64_t count, Each each) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) each(i, kLanes);
  if (i < count) each(i, count - i);
}

PLUMBLINE_INLINE Lanes At(const float* x, int64_t count) { return count == kLanes ? Load(x) : LoadSome(x, count); }

PLUMBLINE_INLINE void Put(float* to, Lanes x, int64_t count) {
  if (count == kLanes) Store(to, x);
  else std::memcpy(to, &x, count * sizeof(float));
}

typedef uint16_t Narrow __attribute__((vector_size(16)));
typedef uint32_t Bits __attribute__((vector_size(32)));

PLUMBLINE_INLINE Lanes At(const Bfloat16* x, int64_t count) {
  Narrow narrow = {};
  if (count == kLanes) std::memcpy(&narrow, x, sizeof(narrow));
  else std::memcpy(&narrow, x, count * sizeof(Bfloat16));
  return (Lanes)(__builtin_convertvector(narrow, Bits) << 16);
}

/** Rounded to the nearest, of two as near to the even one. */
PLUMBLINE_INLINE void Put(Bfloat16* to, Lanes x, int64_t count) {
  const Bits bits = (Bits)x;
  const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Bits kept = x == x ? rounded : Bits{} + 0x7fc0;
  const Narrow narrow = __builtin_convertvector(kept, Narrow);
  if (count == kLanes) std::memcpy(to, &narrow, sizeof(narrow));
  else std::memcpy(to, &narrow, count * sizeof(Bfloat16));
}

/** The first `count` lanes, and `other` in the rest. */
PLUMBLINE_INLINE Lanes Among(Lanes x, int64_t count, float other) {
  if (count == kLanes) return x;
  const Whole lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return lane < Whole{} + static_cast<int32_t>(count) ? x : All(other);
}

template <typename T>
PLUMBLINE_INLINE float One(const T* x) {
  return At(x, 1)[0];
}

inline void Widen(const Bfloat16* x, float* to, int64_t count) {
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA { Put(to + i, At(x + i, n), n); });
}

template <typename T>
inline void SiluGate(const T* gate, const T* up, T* out, int64_t count) {
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes x = At(gate + i, n);
    const Lanes value = x / (1.f + Exponential(-x)) * At(up + i, n);
    Put(out + i, x == x ? value : x, n);
  });
}

template <typename T>
inline void SiluGateGradient(const T* gate, const T* up, const T* dy, T* dgate, T* dup, int64_t count) {
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes x = At(gate + i, n), above = At(dy + i, n);
    const Lanes sigmoid = 1.f / (1.f + Exponential(-x));
    const Lanes slope = above * At(up + i, n) * sigmoid * (1.f + x * (1.f - sigmoid));
    const Lanes straight = above * x * sigmoid;
    Put(dgate + i, x == x ? slope : x, n);
    Put(dup + i, x == x ? straight : x, n);
  });
}

/** sum = x + addend, if there is one, and out = sum / √(mean(sum²) + ε) · weight, of the sum as it is stored. */
template <typename T>
inline void RmsNorm(const T* x, const T* addend, const float* weight, T* sum, T* out, int64_t width, float epsilon) {
  Lanes squares = {};
  InSteps(width, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    Put(sum + i, addend == nullptr ? At(x + i, n) : At(x + i, n) + At(addend + i, n), n);
    const Lanes total = At(sum + i, n);
    squares += total * total;
  });
  const float inverse = 1.f / std::sqrt(SumOf(squares) / static_cast<float>(width) + epsilon);
  InSteps(width, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    Put(out + i, At(sum + i, n) * inverse * At(weight + i, n), n);
  });
}

/** Halves i and i + half of a head turn together by sign times the angle; what lies beyond 2·half passes. */
template <typename T>
inline void TurnHead(const T* x, const float* cos, const float* sin, float sign, T* out, int64_t width, int64_t half) {
  InSteps(half, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes a = At(x + i, n), b = At(x + half + i, n), c = At(cos + i, n), s = At(sin + i, n) * sign;
    Put(out + i, a * c - b * s, n);
    Put(out + half + i, b * c + a * s, n);
  });
  std::copy(x + 2 * half, x + width, out + 2 * half);
}

template <typename Call, typename T>
PLUMBLINE_INLINE const T* SlotOf(const Call& c, const T* numbers, int64_t t) {
  return numbers + (c.table[t / c.pageSize] * c.pageSize + t % c.pageSize) * c.stride;
}

/** Keys, or values, of one head in a page. */
template <typename T>
struct Strip {
  const T* numbers;
  int64_t count, stride, width;
  /** What is read after the page, at the same place; null where another strip sees to that. */
  const T* next;
  PLUMBLINE_INLINE const T* NextOf(int64_t i) const { return next == nullptr ? nullptr : next + i * stride; }
};

/**
 * Calls `each(query, i, strip)` for the keys, or values, of each query from the i-th on, page by page. The next page is
 * fetched meanwhile, `after` behind the last: the processor does not foresee where it lies.
 */
template <typename T, typename Each>
PLUMBLINE_INLINE void ForEachStrip(const RowCall<T>& c, const T* numbers, const T* after, Each each) {
  for (int64_t t = c.first; t < c.last;) {
    const int64_t end = std::min(c.last, t - t % c.pageSize + c.pageSize);
    const T *page = SlotOf(c, numbers, t), *next = end < c.last ? SlotOf(c, numbers, end) : after;
    for (int64_t h = 0; h < c.heads * c.group; h++) {
      const int64_t place = h / c.group * c.width;
      each(h, t - c.first, Strip<T>{page + place, end - t, c.stride, c.width, h % c.group == 0 ? next + place : nullptr});
    }
    t = end;
  }
}

/** Fetches `width` numbers of each of `count` slots; of none where there are no numbers. */
template <typename T>
PLUMBLINE_INLINE void Fetch(const T* numbers, int64_t count, int64_t stride, int64_t width) {
  if (numbers == nullptr) return;
  for (int64_t i = 0; i < count; i++, numbers += stride) {
    for (int64_t line = 0; line < width; line += 64 / sizeof(T)) __builtin_prefetch(numbers + line);
  }
}

/** Sums of each of four, in the order of SumOf. */
PLUMBLINE_INLINE void SumsOf(Lanes a, Lanes b, Lanes c, Lanes d, float* sums) {
  const Whole low = {0, 1, 2, 3, 8, 9, 10, 11}, high = {4, 5, 6, 7, 12, 13, 14, 15};
  const Lanes ab = __builtin_shuffle(a, b, low) + __builtin_shuffle(a, b, high);
  const Lanes cd = __builtin_shuffle(c, d, low) + __builtin_shuffle(c, d, high);
  Lanes all = __builtin_shuffle(ab, cd, Whole{0, 1, 8, 9, 4, 5, 12, 13}) +
              __builtin_shuffle(ab, cd, Whole{2, 3, 10, 11, 6, 7, 14, 15});
  all += __builtin_shuffle(all, Whole{1, 0, 3, 2, 5, 4, 7, 6});
  sums[0] = all[0];
  sums[1] = all[4];
  sums[2] = all[2];
  sums[3] = all[6];
}

/**
 * scores[i] = q · keys[i] · scale; four at a time, as a sum waits for its last addition. `next` is fetched meanwhile, as in
 * all that follows.
 */
template <typename T>
inline void Score(const float* q, const Strip<T>& keys, float scale, float* scores) {
  const auto key = [&](int64_t i) PLUMBLINE_LAMBDA { return keys.numbers + i * keys.stride; };
  int64_t i = 0;
  for (; i + 4 <= keys.count; i += 4) {
    Fetch(keys.NextOf(i), 4, keys.stride, keys.width);
    Lanes sums[4] = {};
    InSteps(keys.width, [&](int64_t d, int64_t n) PLUMBLINE_LAMBDA {
      const Lanes x = At(q + d, n);
      for (int j = 0; j < 4; j++) sums[j] = MultiplyAdd(x, At(key(i + j) + d, n), sums[j]);
    });
    SumsOf(sums[0], sums[1], sums[2], sums[3], scores + i);
    for (int j = 0; j < 4; j++) scores[i + j] *= scale;
  }
  for (; i < keys.count; i++) {
    Lanes sum = {};
    InSteps(keys.width, [&](int64_t d, int64_t n) PLUMBLINE_LAMBDA {
      sum = MultiplyAdd(At(q + d, n), At(key(i) + d, n), sum);
    });
    scores[i] = SumOf(sum) * scale;
  }
}

/** Scores to weights that sum to 1. */
inline void Softmax(float* scores, int64_t count) {
  float top = scores[0];
  for (int64_t i = 1; i < count; i++) top = scores[i] > top ? scores[i] : top;
  Lanes sums = {};
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes x = At(scores + i, n);
    const Lanes weight = x == x ? Exponential(x - top) : x;
    Put(scores + i, weight, n);
    sums += At(scores + i, n);
  });
  const float inverse = 1.f / SumOf(sums);
  for (int64_t i = 0; i < count; i++) scores[i] *= inverse;
}

/** out[d … d + L·8) += Σ weights[i] · values[i] */
template <int L, typename T>
PLUMBLINE_INLINE void MixLanes(const float* weights, const Strip<T>& values, int64_t d, float* out) {
  Lanes mixed[L];
  for (int n = 0; n < L; n++) mixed[n] = Load(out + d + n * kLanes);
  for (int64_t i = 0; i < values.count; i++) {
    const T *value = values.numbers + i * values.stride + d, *next = values.NextOf(i);
    Fetch(next == nullptr ? nullptr : next + d, 1, 0, L * kLanes);
    for (int n = 0; n < L; n++) mixed[n] = MultiplyAdd(All(weights[i]), At(value + n * kLanes, kLanes), mixed[n]);
  }
  for (int n = 0; n < L; n++) Store(out + d + n * kLanes, mixed[n]);
}

template <typename T>
inline void Mix(const float* weights, const Strip<T>& values, float* out) {
  int64_t d = 0;
  for (; d + 8 * kLanes <= values.width; d += 8 * kLanes) MixLanes<8>(weights, values, d, out);
  for (; d + kLanes <= values.width; d += kLanes) MixLanes<1>(weights, values, d, out);
  for (; d < values.width; d++) {
    for (int64_t i = 0; i < values.count; i++) out[d] += weights[i] * One(values.numbers + i * values.stride + d);
  }
}

/**
 * Attention of the queries of some key heads of one row. A page is read once, with all of its heads: they lie side by side.
 *
 * @param scores room for heads · group · (last − first)
 */
template <typename T>
inline void DecodeRow(const RowCall<T>& c, float* scores) {
  const int64_t count = c.last - c.first, queries = c.heads * c.group;
  std::fill_n(c.out, queries * c.width, 0.f);
  if (count <= 0) return;
  ForEachStrip(c, c.keys, SlotOf(c, c.values, c.first), [&](int64_t h, int64_t i, const Strip<T>& keys) PLUMBLINE_LAMBDA {
    Score(c.q + h * c.width, keys, c.scale, scores + h * count + i);
  });
  for (int64_t i = 0; c.softCap != 0 && i < queries * count; i++) scores[i] = c.softCap * std::tanh(scores[i] / c.softCap);
  for (int64_t h = 0; h < queries; h++) Softmax(scores + h * count, count);
  ForEachStrip(c, c.values, c.after, [&](int64_t h, int64_t i, const Strip<T>& values) PLUMBLINE_LAMBDA {
    Mix(scores + h * count + i, values, c.out + h * c.width);
  });
}

/** The first of the numbers that is equal to one of them. */
inline int64_t PlaceOf(const float* numbers, int64_t count, float one) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    // as four wide integers: there is no other way to ask all lanes at once in plain vectors
    typedef int64_t Wide __attribute__((vector_size(32)));
    const Wide equal = (Wide)(Whole)(Load(numbers + i) == All(one));
    if ((equal[0] | equal[1] | equal[2] | equal[3]) != 0) break;
  }
  while (i + 1 < count && numbers[i] != one) i++;
  return i;
}

/** Largest of the logits; NaN where one of them is. */
template <typename T>
inline float TopOf(const T* logits, int64_t count) {
  const float first = One(logits);
  Lanes tops = All(first);
  Whole odd = {};
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes x = Among(At(logits + i, n), n, first);
    tops = x > tops ? x : tops;
    odd |= (Whole)(x != x);
  });
  float top = tops[0];
  int32_t isOdd = odd[0];
  for (int i = 1; i < kLanes; i++) {
    top = tops[i] > top ? tops[i] : top;
    isOdd |= odd[i];
  }
  return isOdd == 0 ? top : std::numeric_limits<float>::quiet_NaN();
}

/** The largest logit, the lowest id of equal ones. */
inline Best BestOf(const float* logits, int64_t count) {
  const float top = TopOf(logits, count);
  const bool isNumber = top == top;
  return {isNumber ? PlaceOf(logits, count, top) : 0, top, isNumber};
}

/** weights[i] = e^((logits[i] − top) / temperature), 0 where that is less than e⁻⁸⁷. */
inline void WeighAll(const float* logits, float top, float temperature, float* weights, int64_t count) {
  const float inverse = 1.f / temperature;
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes log = (At(logits + i, n) - top) * inverse;
    Put(weights + i, log < All(-87.f) ? Lanes{} : Exponential(log), n);
  });
}

/** Σ e^(logits[i] − top), without those less than e⁻⁸⁷. */
inline float ExponentialSum(const float* logits, float top, int64_t count) {
  Lanes sums = {};
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes log = At(logits + i, n) - top;
    const Lanes weight = log < All(-87.f) ? Lanes{} : Exponential(log);
    sums += n == kLanes ? weight : LoadSome(reinterpret_cast<const float*>(&weight), n);
  });
  return SumOf(sums);
}

inline float PartSum(const float* weights, int64_t count) {
  Lanes sums = {};
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA { sums += At(weights + i, n); });
  return SumOf(sums);
}
