// The loops of a training step's CPU kernels, as those of cpu-loops-body.h, which is included before; and the table of all.

PLUMBLINE_INLINE Lanes RootOf(Lanes x) {
#ifdef PLUMBLINE_FUSED
  return (Lanes)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < kLanes; i++) x[i] = std::sqrt(x[i]);
  return x;
#endif
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
  InSteps(count, [&](int64_t i, int64_t n) PLUMBLINE_LAMBDA {
    const Lanes slope = At(gradient + i, n) * step.gradientScale;
    const Lanes mean = At(first + i, n) + (slope - At(first + i, n)) * step.newer;
    const Lanes square = At(second + i, n) * step.beta2 + slope * slope * step.newerSquare;
    const Lanes moved = mean * step.stepSize / (RootOf(square) * step.denominatorScale + step.epsilon);
    const Lanes next = At(parameter + i, n) * step.decay - moved;
    Put(first + i, mean, n);
    Put(second + i, square, n);
    Put(parameter + i, next, n);
    if (copy != nullptr) Put(copy + i, next, n);
  });
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

template <typename T>
constexpr LoopsOf<T> kLoopsOf = {SiluGate<T>,   SiluGateGradient<T>, RmsNorm<T>,   TurnHead<T>,
                                 LogitRowOf<T>, AdamwOf<T>,          DecodeRow<T>, AttendPiece<T>};

constexpr Loops kLoops = {kLoopsOf<float>, kLoopsOf<Bfloat16>, SquaresOf, Widen, BestOf, WeighAll, ExponentialSum, PartSum,
                          &kTiles};
