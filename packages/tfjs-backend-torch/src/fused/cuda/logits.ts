/**
 * A block a row of logits. `statistics` reads the row once: log-prob of the target, entropy, whether the target is the
 * most likely token, log of the normalizer. `slopes` turns the row into the gradient of factor · log-prob, in place. Rows of
 * `width` numbers begin every `step`; the last pack of a row may take in what lies between it and the next.
 */
const CAPPED = `
struct Logit { float value, slope; };
__device__ inline Logit capped(float raw, float inverse, float cap) {
  if (cap == 0.f) return {raw * inverse, inverse};
  const float t = tanhf(raw / cap);
  return {cap * t * inverse, (1.f - t * t) * inverse};
}
`

export const LOGIT_STATISTICS = `${CAPPED}
struct State { float most, sum, product; int index; };
/** Sums relative to the larger maximum; of equal maxima the first. */
__device__ inline State merged(State a, State b) {
  const bool left = a.most > b.most || (a.most == b.most && a.index <= b.index) || !(b.most == b.most);
  const State big = left ? a : b, small = left ? b : a;
  const float factor = small.sum == 0.f ? 0.f : __expf(small.most - big.most);
  return {big.most, big.sum + factor * small.sum, big.product + factor * small.product, big.index};
}
extern "C" __global__ void logitStatistics(const T* logits, const int* targets, float* logProbs, float* entropy,
                                           float* correct, float* logNormalizer, int width, int step,
                                           float temperature, float cap) {
  awaitOthers();
  const T* row = logits + (long long)blockIdx.x * step;
  const float inverse = 1.f / temperature;
  State state = {-3.4e38f, 0.f, 0.f, 2147483647};
  for (int i = threadIdx.x * W; i < width; i += blockDim.x * W) {
    Pack<W> z = load(row + i);
    float most = state.most;
    int index = state.index;
    #pragma unroll
    for (int j = 0; j < W; j++) {
      z.v[j] = capped(z.v[j], inverse, cap).value;
      if (i + j < width && !(z.v[j] <= most)) { most = z.v[j]; index = i + j; }
    }
    const float factor = state.sum == 0.f ? 0.f : __expf(state.most - most);
    state.sum *= factor;
    state.product *= factor;
    #pragma unroll
    for (int j = 0; j < W; j++) {
      if (i + j >= width) continue;
      const float e = __expf(z.v[j] - most);
      state.sum += e;
      state.product += e * z.v[j];
    }
    state.most = most;
    state.index = index;
  }
  __shared__ State parts[32];
  for (int step = 16; step > 0; step >>= 1) {
    State other;
    other.most = __shfl_xor_sync(0xffffffffu, state.most, step);
    other.sum = __shfl_xor_sync(0xffffffffu, state.sum, step);
    other.product = __shfl_xor_sync(0xffffffffu, state.product, step);
    other.index = __shfl_xor_sync(0xffffffffu, state.index, step);
    state = merged(state, other);
  }
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = state;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int i = 1; i < (blockDim.x >> 5); i++) state = merged(state, parts[i]);
  const float normalizer = state.most + logf(state.sum);
  const int target = targets[blockIdx.x];
  logProbs[blockIdx.x] = capped(wide(row[target]), inverse, cap).value - normalizer;
  entropy[blockIdx.x] = normalizer - state.product / state.sum;
  correct[blockIdx.x] = state.index == target ? 1.f : 0.f;
  logNormalizer[blockIdx.x] = normalizer;
}`

/** `factors` may be null: every row's is 1. */
export const LOGIT_SLOPES = `${CAPPED}
extern "C" __global__ void logitSlopes(T* logits, const int* targets, const float* logNormalizer, const float* factors,
                                       int width, int step, float temperature, float cap) {
  awaitOthers();
  T* row = logits + (long long)blockIdx.x * step;
  const int target = targets[blockIdx.x];
  const float inverse = 1.f / temperature;
  const float normalizer = logNormalizer[blockIdx.x];
  const float factor = factors == nullptr ? 1.f : factors[blockIdx.x];
  for (int i = threadIdx.x * W; i < width; i += blockDim.x * W) {
    Pack<W> z = load(row + i);
    #pragma unroll
    for (int j = 0; j < W; j++) {
      const Logit logit = capped(z.v[j], inverse, cap);
      z.v[j] = factor * logit.slope * ((i + j == target ? 1.f : 0.f) - __expf(logit.value - normalizer));
    }
    store(row + i, z);
  }
}`
