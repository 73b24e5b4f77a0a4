/**
 * Logits after soft cap and temperature as powers of two: e^z is 2^(z·log₂e), and 2^x is one instruction. Macro CAP is 1 where
 * there is a soft cap.
 */
export const SCALE = `
constexpr float LN2 = 0.693147181f, LOG2E = 1.44269504f;
struct Scale { float log2, inverse, cap; };
__device__ inline Scale scaleOf(float temperature, float cap) {
  const float inverse = 1.f / temperature;
  return {LOG2E * inverse, inverse, cap};
}
__device__ inline float capped(float raw, Scale scale) {
#if CAP
  return scale.cap * tanhf(raw / scale.cap);
#else
  return raw;
#endif
}
/** A raw logit in powers of two, rounded once and everywhere alike: what differences are to that must not have another rounding. */
__device__ inline float baseOf(float raw, Scale scale) { return __fmul_rn(capped(raw, scale), scale.log2); }
/** How many powers of two a raw logit is above \`base\`, in one rounding where there is no cap. */
__device__ inline float above(float raw, float base, Scale scale) { return fmaf(capped(raw, scale), scale.log2, -base); }
/** Of the capped logit over the temperature by the raw one. */
__device__ inline float slopeOf(float raw, Scale scale) {
#if CAP
  const float t = tanhf(raw / scale.cap);
  return (1.f - t * t) * scale.inverse;
#else
  return scale.inverse;
#endif
}
/** What makes probabilities of a row's logits: \`share\` · 2^x, with x powers of two above \`base\`. */
struct Norm { float base, share; };
`

/**
 * A thread's packs of a row as they lie in memory, \`use(packs, i, step)\`, of which the first begins at place i and each other
 * so much further: several at a time, which are on their way together, and what is left one by one.
 */
export const EACH_PACK = `
template <typename Use> __device__ inline void eachPack(const T* row, int width, bool isFromEnd, Use use) {
  constexpr int AHEAD = 4;
  const int step = blockDim.x * W, rounds = width / (AHEAD * step), rest = rounds * AHEAD * step;
  const auto left = [&] {
    for (int i = rest + threadIdx.x * W; i < width; i += step) {
      const Stored raw[1] = {stored(row + i)};
      use(raw, i, step);
    }
  };
  if (isFromEnd) left();
  for (int round = 0; round < rounds; round++) {
    const int i = (isFromEnd ? rounds - 1 - round : round) * AHEAD * step + threadIdx.x * W;
    Stored raw[AHEAD];
    #pragma unroll
    for (int k = 0; k < AHEAD; k++) raw[k] = stored(row + i + k * step);
    use(raw, i, step);
  }
  if (!isFromEnd) left();
}
`

/** The gradients of factor · log-prob of the target by the logits of a pack that begins at place i of its row. */
export const PACK_SLOPES = `
__device__ inline Pack<W> packSlopes(Pack<W> z, int i, int target, Norm norm, float factor, Scale scale) {
  Pack<W> slopes;
  const float share = -factor * norm.share;
  #pragma unroll
  for (int j = 0; j < W; j++) slopes.v[j] = share * slopeOf(z.v[j], scale) * powerOf2(above(z.v[j], norm.base, scale));
  if ((unsigned)(target - i) < W) {
    #pragma unroll
    for (int j = 0; j < W; j++) {
      if (i + j == target) slopes.v[j] += factor * slopeOf(z.v[j], scale);
    }
  }
  return slopes;
}
`

/** What some logits of a row come to: in a thread with one more pack, in two parts of the row together, in all lanes. */
export const ROW_STATE = `
/**
 * The largest raw logit, where the first pack with it begins, and with x powers of two above it sums of 2^x and of x·2^x.
 */
struct State { float most, sum, product; int pack; };
__device__ inline State nothing() { return {-3.4e38f, 0.f, 0.f, 2147483647}; }
/** The same relative to a larger logit. */
__device__ inline State relativeTo(float most, State state, Scale scale) {
  if (state.sum == 0.f) return {most, 0.f, 0.f, state.pack};
  const float shift = baseOf(state.most, scale) - baseOf(most, scale), factor = powerOf2(shift);
  return {most, factor * state.sum, factor * fmaf(shift, state.sum, state.product), state.pack};
}
/** With a thread's next packs of a row of \`width\`; what lies beyond its end counts as nothing. */
template <int N> __device__ inline void include(State& state, const Stored (&packs)[N], int i, int step, int width, Scale scale) {
  Pack<W> z[N];
  float most = state.most;
  int first = state.pack;
  #pragma unroll
  for (int k = 0; k < N; k++) {
    z[k] = wide(packs[k]);
    if (N == 1 && i + W > width) {
      #pragma unroll
      for (int j = 0; j < W; j++) {
        if (i + j >= width) z[k].v[j] = -1e30f;
      }
    }
    const float before = most;
    #pragma unroll
    for (int j = 0; j < W; j++) most = fmaxf(most, z[k].v[j]);
    if (most > before) first = i + k * step;
  }
  if (most > state.most) state = relativeTo(most, state, scale);
  state.pack = first;
  const float base = baseOf(most, scale);
  #pragma unroll
  for (int k = 0; k < N; k++) {
    #pragma unroll
    for (int j = 0; j < W; j++) {
      const float x = above(z[k].v[j], base, scale);
      // a soft cap brings back what is far below
      const float e = N > 1 || i + j < width ? powerOf2(x) : 0.f;
      state.sum += e;
      state.product = fmaf(e, x, state.product);
    }
  }
}
/** Of equal maxima the first. */
__device__ inline State merged(State a, State b, Scale scale) {
  const bool left = a.most > b.most || (a.most == b.most && a.pack <= b.pack);
  const State big = left ? a : b, small = relativeTo(big.most, left ? b : a, scale);
  return {big.most, big.sum + small.sum, big.product + small.product, big.pack};
}
/** Of all lanes, the same to each. */
__device__ inline State mergedLanes(State state, Scale scale) {
  for (int step = 16; step > 0; step >>= 1) {
    State other;
    other.most = __shfl_xor_sync(0xffffffffu, state.most, step);
    other.sum = __shfl_xor_sync(0xffffffffu, state.sum, step);
    other.product = __shfl_xor_sync(0xffffffffu, state.product, step);
    other.pack = __shfl_xor_sync(0xffffffffu, state.pack, step);
    state = merged(state, other, scale);
  }
  return state;
}
/** Of all threads of a block, to those of its first warp. */
__device__ inline State mergedBlock(State state, Scale scale) {
  __shared__ State parts[32];
  state = mergedLanes(state, scale);
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = state;
  __syncthreads();
  if (threadIdx.x >= 32) return state;
  return mergedLanes(threadIdx.x < (blockDim.x >> 5) ? parts[threadIdx.x] : nothing(), scale);
}
/** The log-prob of a token by its raw logit, the entropy and the log of the normalizer, in nats. */
__device__ inline float logProbOf(float raw, State state, Scale scale) {
  return LN2 * (above(raw, baseOf(state.most, scale), scale) - log2f(state.sum));
}
__device__ inline float entropyOf(State state) { return LN2 * (log2f(state.sum) - state.product / state.sum); }
/** The base's rounding, which the sum has in it, is some 10⁻³ of large logits: the largest logit itself has none. */
__device__ inline float logNormalizerOf(State state, Scale scale) {
  const float rounding = above(state.most, baseOf(state.most, scale), scale);
  return fmaf(capped(state.most, scale), scale.inverse, LN2 * (log2f(state.sum) - rounding));
}
__device__ inline Norm normOf(State state, Scale scale) { return {baseOf(state.most, scale), 1.f / state.sum}; }
/** Where the largest logit is, in the pack that begins at \`first\` of a row up to \`end\`. */
__device__ inline int winnerOf(State state, const T* row, int first, int end) {
  while (first < end && wide(row[first]) != state.most) first++;
  return first;
}
`
