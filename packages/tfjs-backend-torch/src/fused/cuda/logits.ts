import { SCALE, EACH_PACK, PACK_SLOPES, ROW_STATE } from "./logit-parts.ts"

/**
 * A block a row of logits. `statistics` makes of the row: log-prob of the target, entropy, whether the target is the
 * most likely token, log of the normalizer; and then, where macro WITH_SLOPES is 1, what `slopes` does with factors of 1, while
 * much of the row is in the cache. `slopes` turns the row into the gradient of factor · log-prob, in place. Rows of `width` numbers
 * begin every `step`; the last pack of a row may take in what lies between it and the next.
 */
const SLOPES = `${SCALE}${EACH_PACK}${PACK_SLOPES}
/** From the row's end on: what was read last is in the cache. */
__device__ inline void turnToSlopes(T* row, int width, int target, Norm norm, float factor, Scale scale) {
  eachPack(row, width, true, [=](const auto& packs, int i, int step) {
    for (const auto& raw : packs) {
      store(row + i, packSlopes(wide(raw), i, target, norm, factor, scale));
      i += step;
    }
  });
}
`

export const LOGIT_STATISTICS = `${SLOPES}${ROW_STATE}
extern "C" __global__ void __launch_bounds__(512, 2)
logitStatistics(T* logits, const int* targets, float* logProbs, float* entropy, float* correct, float* logNormalizer,
                int width, int step, float temperature, float cap) {
  awaitOthers();
  T* row = logits + (long long)blockIdx.x * step;
  const int target = targets[blockIdx.x];
  const Scale scale = scaleOf(temperature, cap);
  State state = nothing();
  eachPack(row, width, false, [&](const auto& packs, int i, int step) { include(state, packs, i, step, width, scale); });
  __shared__ Norm shared;
  state = mergedBlock(state, scale);
  if (threadIdx.x == 0) {
    logProbs[blockIdx.x] = logProbOf(wide(row[target]), state, scale);
    entropy[blockIdx.x] = entropyOf(state);
    correct[blockIdx.x] = winnerOf(state, row, state.pack, width) == target ? 1.f : 0.f;
    shared = normOf(state, scale);
    logNormalizer[blockIdx.x] = logNormalizerOf(state, scale);
  }
#if WITH_SLOPES
  __syncthreads();
  turnToSlopes(row, width, target, shared, 1.f, scale);
#endif
}`

/** `factors` may be null: every row's is 1. */
export const LOGIT_SLOPES = `${SLOPES}
extern "C" __global__ void logitSlopes(T* logits, const int* targets, const float* logNormalizer, const float* factors,
                                       int width, int step, float temperature, float cap) {
  awaitOthers();
  const float factor = factors == nullptr ? 1.f : factors[blockIdx.x];
  // in powers of two a large normalizer is rounded again, by what the share makes good
  const float normalizer = logNormalizer[blockIdx.x], base = __fmul_rn(normalizer, LOG2E);
  const Norm norm = {base, powerOf2(fmaf(-normalizer, LOG2E, base))};
  turnToSlopes(logits + (long long)blockIdx.x * step, width, targets[blockIdx.x], norm, factor, scaleOf(temperature, cap));
}`
