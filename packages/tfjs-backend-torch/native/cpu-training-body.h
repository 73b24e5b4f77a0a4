// The loops of a training step's CPU kernels, as those of cpu-loops-body.h, which is included before: bfloat16 is read
// and written as it lies, and computed with in float32.

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

PLUMBLINE_INLINE Lanes RootOf(Lanes x) {
#ifdef PLUMBLINE_FUSED
  return (Lanes)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < kLanes; i++) x[i] = std::sqrt(x[i]);
  return x;
#endif
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

/** Σw and Σw·l with w = eˡ of l = (logit − top) / temperature: numbers of a block in float32, blocks in float64. */
template <typename T>
inline void SumsOfRow(const T* logits, int64_t count, float top, float inverse, double& weights, double& weighted) {
  constexpr int64_t kBlock = 512;
  for (int64_t from = 0; from < count; from += kBlock) {
    Lanes sum = {}, product = {};
    InSteps(std::min(kBlock, count - from), [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
      const Lanes log = (Among(At(logits + from + i, n), n, -std::numeric_limits<float>::infinity()) - top) * inverse;
      const auto none = log < All(-87.f);
      const Lanes weight = none ? Lanes{} : Exponential(log);
      sum += weight;
      product = MultiplyAdd(weight, none ? Lanes{} : log, product);
    });
    weights += SumOf(sum);
    weighted += SumOf(product);
  }
}

/** factor / temperature · (onehot − softmax) in place of the logits. */
template <typename T>
inline void SlopesOfRow(T* logits, int64_t count, int64_t target, float top, float inverse, double total, float factor) {
  const float scale = factor * inverse, share = static_cast<float>(-scale / total);
  const float log = (One(logits + target) - top) * inverse;
  const float ofTarget = scale + share * (log < -87.f ? 0.f : Exponential(All(log))[0]);
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes log = (At(logits + i, n) - top) * inverse;
    Put(logits + i, (log < All(-87.f) ? Lanes{} : Exponential(log)) * share, n);
  });
  Put(logits + target, All(ofTarget), 1);
}

/** A row without a largest logit has no softmax. */
template <typename T>
inline LogitRow NoSoftmax(T* logits, int64_t count, bool withSlopes) {
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  if (withSlopes) InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA { Put(logits + i, All(kNone), n); });
  return {kNone, kNone, 0.f, kNone};
}

template <typename T>
PLUMBLINE_INLINE bool IsFirst(const T* logits, int64_t place) {
  const float one = One(logits + place);
  for (int64_t i = 0; i < place; i++) {
    if (One(logits + i) == one) return false;
  }
  return true;
}

/** What is known of a row's target; the logits become slopes where there is a factor. */
template <typename T>
inline LogitRow LogitRowOf(T* logits, int64_t count, int64_t target, float temperature, const float* factor) {
  const float top = TopOf(logits, count), inverse = 1.f / temperature;
  if (!std::isfinite(top)) return NoSoftmax(logits, count, factor != nullptr);
  double weights = 0, weighted = 0;
  SumsOfRow(logits, count, top, inverse, weights, weighted);
  const double logSum = std::log(weights);
  const float own = One(logits + target);
  const bool isBest = own == top && IsFirst(logits, target);
  if (factor != nullptr) SlopesOfRow(logits, count, target, top, inverse, weights, *factor);
  const double normalizer = static_cast<double>(top) * inverse + logSum;
  return {static_cast<float>((static_cast<double>(own) - top) * inverse - logSum),
          static_cast<float>(logSum - weighted / weights), isBest ? 1.f : 0.f, static_cast<float>(normalizer)};
}

/** One step of AdamW on some numbers; `copy`, where there is one, becomes the parameter's new values. */
template <typename G>
inline void AdamwOf(float* parameter, const G* gradient, float* first, float* second, Bfloat16* copy, int64_t count,
                    const AdamwStep& step) {
  const float newer = 1.f - step.beta1, newerSquare = 1.f - step.beta2;
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes slope = At(gradient + i, n) * step.gradientScale;
    const Lanes mean = At(first + i, n) + (slope - At(first + i, n)) * newer;
    const Lanes square = At(second + i, n) * step.beta2 + slope * slope * newerSquare;
    const Lanes moved = mean * step.stepSize / (RootOf(square) * step.denominatorScale + step.epsilon);
    const Lanes next = At(parameter + i, n) * step.decay - moved;
    Put(first + i, mean, n);
    Put(second + i, square, n);
    Put(parameter + i, next, n);
    if (copy != nullptr) Put(copy + i, next, n);
  });
}

template <typename T>
inline void TurnHeadOf(const T* x, const float* cos, const float* sin, float sign, T* out, int64_t width, int64_t half) {
  InSteps(half, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes a = At(x + i, n), b = At(x + half + i, n), c = At(cos + i, n), s = At(sin + i, n) * sign;
    Put(out + i, a * c - b * s, n);
    Put(out + half + i, b * c + a * s, n);
  });
  std::copy(x + 2 * half, x + width, out + 2 * half);
}

inline double SquaresOf(const Bfloat16* x, int64_t count) {
  constexpr int64_t kBlock = 256;
  double total = 0;
  for (int64_t from = 0; from < count; from += kBlock) {
    // squares of 8 bits are exact, and a block's sum of them errs by less than what 16 bits could tell
    Lanes sum = {};
    InSteps(std::min(kBlock, count - from), [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
      const Lanes value = At(x + from + i, n);
      sum = MultiplyAdd(value, value, sum);
    });
    total += SumOf(sum);
  }
  return total;
}

constexpr TrainingLoops kTrainingLoops = {LogitRowOf<float>,  LogitRowOf<Bfloat16>, AdamwOf<float>, AdamwOf<Bfloat16>,
                                          TurnHeadOf<float>, TurnHeadOf<Bfloat16>, SquaresOf};
