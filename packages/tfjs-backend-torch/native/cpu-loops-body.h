// The loops of CPU kernels on eight numbers at a time. Included once for each instruction set, in a namespace of its own:
// see cpu-loops.h.

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

PLUMBLINE_INLINE float SumOf(Lanes x) {
  x += __builtin_shuffle(x, Whole{4, 5, 6, 7, 0, 1, 2, 3});
  x += __builtin_shuffle(x, Whole{2, 3, 0, 1, 6, 7, 4, 5});
  x += __builtin_shuffle(x, Whole{1, 0, 3, 2, 5, 4, 7, 6});
  return x[0];
}

/** eˣ to about 1e-7, between e⁻⁸⁷ and e⁸⁸: a polynomial on |x| ≤ ln 2 / 2 and the exponent's bits. NaN is not one any more. */
PLUMBLINE_INLINE Lanes Exponential(Lanes x) {
  Lanes bounded = x > All(-87.f) ? x : All(-87.f);
  bounded = bounded < All(88.f) ? bounded : All(88.f);
  // adding 1.5·2²³ rounds to a whole number
  const Lanes whole = (bounded * 1.44269504f + 12582912.f) - 12582912.f;
  const Lanes rest = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Lanes series = All(1.9875691e-4f);
  for (const float next : {1.3981999e-3f, 8.3334519e-3f, 4.1665796e-2f, 1.6666665e-1f, 5.0000001e-1f}) {
    series = series * rest + next;
  }
  series = series * rest * rest + rest + 1.f;
  return (Lanes)((Whole)series + (__builtin_convertvector(whole, Whole) << 23));
}

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

inline void SiluGate(const float* gate, const float* up, float* out, int64_t count) {
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes x = At(gate + i, n);
    const Lanes value = x / (1.f + Exponential(-x)) * At(up + i, n);
    Put(out + i, x == x ? value : x, n);
  });
}

inline void SiluGateGradient(const float* gate, const float* up, const float* dy, float* dgate, float* dup, int64_t count) {
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes x = At(gate + i, n), above = At(dy + i, n);
    const Lanes sigmoid = 1.f / (1.f + Exponential(-x));
    const Lanes slope = above * At(up + i, n) * sigmoid * (1.f + x * (1.f - sigmoid));
    const Lanes straight = above * x * sigmoid;
    Put(dgate + i, x == x ? slope : x, n);
    Put(dup + i, x == x ? straight : x, n);
  });
}

/** sum = x + addend, if there is one, and out = sum / √(mean(sum²) + ε) · weight. */
inline void RmsNorm(const float* x, const float* addend, const float* weight, float* sum, float* out, int64_t width,
                    float epsilon) {
  Lanes squares = {};
  InSteps(width, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes total = addend == nullptr ? At(x + i, n) : At(x + i, n) + At(addend + i, n);
    squares += total * total;
    Put(sum + i, total, n);
  });
  const float inverse = 1.f / std::sqrt(SumOf(squares) / static_cast<float>(width) + epsilon);
  InSteps(width, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    Put(out + i, At(sum + i, n) * inverse * At(weight + i, n), n);
  });
}

/** Halves i and i + half of a head turn together; what lies beyond 2·half passes. */
inline void TurnHead(const float* x, const float* cos, const float* sin, float* out, int64_t width, int64_t half) {
  InSteps(half, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes a = At(x + i, n), b = At(x + half + i, n), c = At(cos + i, n), s = At(sin + i, n);
    Put(out + i, a * c - b * s, n);
    Put(out + half + i, b * c + a * s, n);
  });
  std::copy(x + 2 * half, x + width, out + 2 * half);
}

/**
 * Calls `each(i, numbers)` for the i-th key, or value, from `first` on, page by page. The same token of the next page is
 * fetched meanwhile: the processor does not foresee where it lies.
 */
template <typename Each>
PLUMBLINE_INLINE void ForEachSlot(const HeadCall& c, const float* numbers, Each each) {
  const auto slot = [&](int64_t t) PLUMBLINE_LAMBDA {
    return numbers + (c.table[t / c.pageSize] * c.pageSize + t % c.pageSize) * c.stride;
  };
  for (int64_t t = c.first; t < c.last;) {
    const int64_t end = std::min(c.last, t - t % c.pageSize + c.pageSize);
    const float* at = slot(t);
    const float* next = end < c.last ? slot(end) : at;
    for (; t < end; t++, at += c.stride, next += c.stride) {
      for (int64_t line = 0; line < c.width; line += 16) __builtin_prefetch(next + line);
      each(t - c.first, at);
    }
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

/** out[first … first + L·8) of the weighted sum of values. */
template <int L>
PLUMBLINE_INLINE void Mix(const HeadCall& c, const float* weights, float* out, int64_t first) {
  Lanes mixed[L] = {};
  ForEachSlot(c, c.values + first, [&](int64_t i, const float* value) PLUMBLINE_LAMBDA {
    for (int n = 0; n < L; n++) mixed[n] += weights[i] * Load(value + n * kLanes);
  });
  for (int n = 0; n < L; n++) Store(out + first + n * kLanes, mixed[n]);
}

/** Attention of the queries of one key head of one row. @param scores room for group · (last − first) */
inline void DecodeHead(const HeadCall& c, float* scores) {
  const int64_t count = c.last - c.first;
  ForEachSlot(c, c.keys, [&](int64_t i, const float* key) PLUMBLINE_LAMBDA {
    for (int64_t g = 0; g < c.group; g++) {
      Lanes sum = {};
      InSteps(c.width, [&](int64_t d, int64_t n) PLUMBLINE_LAMBDA { sum += At(c.q + g * c.width + d, n) * At(key + d, n); });
      const float score = SumOf(sum) * c.scale;
      scores[g * count + i] = c.softCap == 0 ? score : c.softCap * std::tanh(score / c.softCap);
    }
  });
  for (int64_t g = 0; g < c.group; g++) {
    const float* weights = scores + g * count;
    float* out = c.out + g * c.width;
    Softmax(scores + g * count, count);
    int64_t d = 0;
    for (; d + 8 * kLanes <= c.width; d += 8 * kLanes) Mix<8>(c, weights, out, d);
    for (; d + kLanes <= c.width; d += kLanes) Mix<1>(c, weights, out, d);
    for (; d < c.width; d++) {
      out[d] = 0;
      ForEachSlot(c, c.values + d, [&](int64_t i, const float* value) PLUMBLINE_LAMBDA { out[d] += weights[i] * *value; });
    }
  }
}

/** The largest logit, the lowest id of equal ones. */
inline Best BestOf(const float* logits, int64_t count) {
  Lanes tops = All(logits[0]);
  Whole odd = {};
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    Lanes x = All(logits[0]);
    std::memcpy(&x, logits + i, n * sizeof(float));
    tops = x > tops ? x : tops;
    odd |= (Whole)(x != x);
  });
  float top = tops[0];
  int32_t isOdd = odd[0];
  for (int i = 1; i < kLanes; i++) {
    top = tops[i] > top ? tops[i] : top;
    isOdd |= odd[i];
  }
  int64_t id = 0;
  while (id + 1 < count && logits[id] != top) id++;
  return {id, top, isOdd == 0};
}

/** weights[i] = e^((logits[i] − top) / temperature), 0 where that is less than e⁻⁸⁷. */
inline void WeighAll(const float* logits, float top, float temperature, float* weights, int64_t count) {
  const float inverse = 1.f / temperature;
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes log = (At(logits + i, n) - top) * inverse;
    Put(weights + i, log < All(-87.f) ? Lanes{} : Exponential(log), n);
  });
}

inline float PartSum(const float* weights, int64_t count) {
  Lanes sums = {};
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA { sums += At(weights + i, n); });
  return SumOf(sums);
}

constexpr Loops kLoops = {SiluGate, SiluGateGradient, RmsNorm, TurnHead, DecodeHead, BestOf, WeighAll, PartSum};
