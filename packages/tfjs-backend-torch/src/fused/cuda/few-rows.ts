import { ACTIVATIONS } from "./elementwise.ts"

/**
 * x · weightᵀ of M rows, so few that reading the weight is all the work. SPLIT of a block's four warps share OUTPUTS rows of
 * the weight, 8 packs of each warp's part on their way at a time; sums are float32 and in one order. With EARLY the weight is
 * known to be older than the kernel before this one, and is asked for while that is still at work.
 *
 * With GATED the two rows are one of `weight` and one of `up`, and the output is the activation of the one times the other, both
 * rounded first, as they would lie in memory.
 */
export const FEW_ROWS = `${ACTIVATIONS}
#define DEEP (8 / OUTPUTS)
#define EACH (GATED ? 1 : OUTPUTS)
__device__ inline void fetchRows(uint4 (&raw)[DEEP][OUTPUTS], const uint4* rows, long long apart, int p, int end, int most) {
  #pragma unroll
  for (int u = 0; u < DEEP; u++)
    #pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
      raw[u][o] = p + 32 * u < end && o < most ? __ldcs(rows + o * apart + p + 32 * u) : make_uint4(0u, 0u, 0u, 0u);
}
extern "C" __global__ void fewRows(const T* x, const T* weight, const T* up, T* out, int outputs, int packs) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, part = warp % SPLIT, unit = warp / SPLIT;
  const int first = (blockIdx.x * (4 / SPLIT) + unit) * EACH, most = min(EACH, outputs - first);
  const int share = (packs + SPLIT - 1) / SPLIT, end = min(packs, (part + 1) * share);
  const uint4* rows = (const uint4*)weight + (long long)first * packs;
  // from one row to the next, of gate to that of up
  const long long apart = GATED ? (const uint4*)up - (const uint4*)weight : packs;
  const int there = OUTPUTS / EACH * most;
  uint4 raw[DEEP][OUTPUTS];
  int p = part * share + lane;
#if EARLY
  fetchRows(raw, rows, apart, p, end, there);
  awaitOthers();
#else
  awaitOthers();
  fetchRows(raw, rows, apart, p, end, there);
#endif
  float sum[M][OUTPUTS];
  #pragma unroll
  for (int m = 0; m < M; m++)
    #pragma unroll
    for (int o = 0; o < OUTPUTS; o++) sum[m][o] = 0.f;
  while (p < end) {
    #pragma unroll
    for (int u = 0; u < DEEP; u++) {
      if (p + 32 * u >= end) break;
      #pragma unroll
      for (int m = 0; m < M; m++) {
        const Pack<8> a = Memory<8>::load(x + ((long long)m * packs + p + 32 * u) * 8);
        #pragma unroll
        for (int o = 0; o < OUTPUTS; o++) {
          const Pack<8> b = wide(raw[u][o]);
          #pragma unroll
          for (int j = 0; j < 8; j++) sum[m][o] += a.v[j] * b.v[j];
        }
      }
    }
    p += 32 * DEEP;
    fetchRows(raw, rows, apart, p, end, there);
  }
  __shared__ float parts[4][M][OUTPUTS];
  #pragma unroll
  for (int m = 0; m < M; m++)
    #pragma unroll
    for (int o = 0; o < OUTPUTS; o++) {
      for (int step = 16; step > 0; step >>= 1) sum[m][o] += __shfl_xor_sync(0xffffffffu, sum[m][o], step);
      if (lane == 0) parts[warp][m][o] = sum[m][o];
    }
  __syncthreads();
  if (part != 0 || lane >= M * EACH) return;
  const int m = lane / EACH, o = lane % EACH;
  const auto total = [&](int of) {
    float sum = 0.f;
    #pragma unroll
    for (int s = 0; s < SPLIT; s++) sum += parts[unit * SPLIT + s][m][of];
    return sum;
  };
  if (o >= most) return;
#if GATED
  const auto rounded = [](float a) { return wide((bf16)narrow2(a, 0.f)); };
  const float value = ACTIVATION(rounded(total(0))).value * rounded(total(1));
#else
  const float value = total(o);
#endif
  Memory<1>::store(out + (long long)m * outputs + first + o, Pack<1>{{value}});
}`
