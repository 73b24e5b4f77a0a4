/**
 * A block a row of logits. `statistics` makes of the row: log-prob of the target, entropy, whether the target is the
 * most likely token, log of the normalizer; and then, where macro WITH_SLOPES is 1, what `slopes` does with factors of 1, while
 * much of the row is in the cache. `slopes` turns the row into the gradient of factor · log-prob, in place. Rows of `width` numbers
 * begin every `step`; the last pack of a row may take in what lies between it and the next. Macro CAP is 1 where there is a soft cap.
 */
const CAPPED = `
struct Logit { float value, slope; };
__device__ inline Logit capped(float raw, float inverse, float cap) {
#if CAP
  const float t = tanhf(raw / cap);
  return {cap * t * inverse, (1.f - t * t) * inverse};
#else
  return {raw * inverse, inverse};
#endif
}
`

/**
 * A thread's packs of a row, several on their way at a time; and slopes in place of logits, from the row's end on: what was read
 * last is in the cache.
 */
const SLOPES = `
template <typename Use> __device__ inline void eachPack(const T* row, int width, bool isFromEnd, Use use) {
  constexpr int AHEAD = 4;
  const int each = blockDim.x * W, rounds = (width + each - 1) / each;
  for (int round = 0; round < rounds; round += AHEAD) {
    const int first = (isFromEnd ? rounds - 1 - round : round) * each + threadIdx.x * W, step = isFromEnd ? -each : each;
    Stored raw[AHEAD];
    #pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      const int i = first + k * step;
      if (i >= 0 && i < width) raw[k] = stored(row + i);
    }
    #pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      const int i = first + k * step;
      if (i >= 0 && i < width) use(i, wide(raw[k]));
    }
  }
}
__device__ inline void turnToSlopes(T* row, int width, int target, float normalizer, float factor, float inverse, float cap) {
  eachPack(row, width, true, [=](int i, Pack<W> z) {
    #pragma unroll
    for (int j = 0; j < W; j++) {
      const Logit logit = capped(z.v[j], inverse, cap);
      z.v[j] = factor * logit.slope * ((i + j == target ? 1.f : 0.f) - __expf(logit.value - normalizer));
    }
    store(row + i, z);
  });
}
`

export const LOGIT_STATISTICS = `${CAPPED}${SLOPES}
/** \`pack\` is where the first pack with the largest number begins. */
struct State { float most, sum, product; int pack; };
/** Sums relative to the larger maximum; of equal maxima the first. */
__device__ inline State merged(State a, State b) {
  const bool left = a.most > b.most || (a.most == b.most && a.pack <= b.pack);
  const State big = left ? a : b, small = left ? b : a;
  const float factor = small.sum == 0.f ? 0.f : __expf(small.most - big.most);
  return {big.most, big.sum + factor * small.sum, big.product + factor * small.product, big.pack};
}
/** Of all lanes, the same to each. */
__device__ inline State mergedLanes(State state) {
  for (int step = 16; step > 0; step >>= 1) {
    State other;
    other.most = __shfl_xor_sync(0xffffffffu, state.most, step);
    other.sum = __shfl_xor_sync(0xffffffffu, state.sum, step);
    other.product = __shfl_xor_sync(0xffffffffu, state.product, step);
    other.pack = __shfl_xor_sync(0xffffffffu, state.pack, step);
    state = merged(state, other);
  }
  return state;
}
extern "C" __global__ void __launch_bounds__(512, 2)
logitStatistics(T* logits, const int* targets, float* logProbs, float* entropy, float* correct, float* logNormalizer,
                int width, int step, float temperature, float cap) {
  awaitOthers();
  T* row = logits + (long long)blockIdx.x * step;
  const int target = targets[blockIdx.x];
  const float inverse = 1.f / temperature, least = -3.4e38f;
  State state = {least, 0.f, 0.f, 2147483647};
  eachPack(row, width, false, [&](int i, Pack<W> z) {
    float most = state.most;
    #pragma unroll
    for (int j = 0; j < W; j++) z.v[j] = capped(z.v[j], inverse, cap).value;
    if (i + W > width) {
      #pragma unroll
      for (int j = 0; j < W; j++) {
        if (i + j >= width) z.v[j] = least;
      }
    }
    #pragma unroll
    for (int j = 0; j < W; j++) most = fmaxf(most, z.v[j]);
    if (most > state.most) state.pack = i;
    const float factor = __expf(state.most - most);
    state.most = most;
    state.sum *= factor;
    state.product *= factor;
    #pragma unroll
    for (int j = 0; j < W; j++) {
      const float e = __expf(z.v[j] - most);
      state.sum += e;
      state.product += e * z.v[j];
    }
  });
  __shared__ State parts[32];
  __shared__ float shared;
  state = mergedLanes(state);
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = state;
  __syncthreads();
  if (threadIdx.x < 32) {
    state = mergedLanes(threadIdx.x < (blockDim.x >> 5) ? parts[threadIdx.x] : State{least, 0.f, 0.f, 2147483647});
    if (threadIdx.x == 0) {
      const float normalizer = state.most + logf(state.sum);
      int winner = state.pack;
      while (winner < width && capped(wide(row[winner]), inverse, cap).value != state.most) winner++;
      logProbs[blockIdx.x] = capped(wide(row[target]), inverse, cap).value - normalizer;
      entropy[blockIdx.x] = normalizer - state.product / state.sum;
      correct[blockIdx.x] = winner == target ? 1.f : 0.f;
      logNormalizer[blockIdx.x] = normalizer;
      shared = normalizer;
    }
  }
#if WITH_SLOPES
  __syncthreads();
  turnToSlopes(row, width, target, shared, 1.f, inverse, cap);
#endif
}`

/** `factors` may be null: every row's is 1. */
export const LOGIT_SLOPES = `${CAPPED}${SLOPES}
extern "C" __global__ void logitSlopes(T* logits, const int* targets, const float* logNormalizer, const float* factors,
                                       int width, int step, float temperature, float cap) {
  awaitOthers();
  const float factor = factors == nullptr ? 1.f : factors[blockIdx.x];
  turnToSlopes(logits + (long long)blockIdx.x * step, width, targets[blockIdx.x], logNormalizer[blockIdx.x], factor,
               1.f / temperature, cap);
}`
