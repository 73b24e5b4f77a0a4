/**
 * x · weightᵀ of M rows, so few that reading the weight is all the work. SPLIT of a block's four warps share OUTPUTS rows of
 * the weight, 8 packs of each warp's part on their way at a time; sums are float32 and in one order. With EARLY the weight is
 * known to be older than the kernel before this one, and is asked for while that is still at work.
 */
export const FEW_ROWS = `
#define DEEP (8 / OUTPUTS)
__device__ inline void fetchRows(uint4 (&raw)[DEEP][OUTPUTS], const uint4* rows, int p, int end, int packs, int most) {
  #pragma unroll
  for (int u = 0; u < DEEP; u++)
    #pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
      raw[u][o] = p + 32 * u < end && o < most ? __ldcs(rows + (long long)o * packs + p + 32 * u) : make_uint4(0u, 0u, 0u, 0u);
}
extern "C" __global__ void fewRows(const T* x, const T* weight, T* out, int outputs, int packs) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, part = warp % SPLIT, unit = warp / SPLIT;
  const int first = (blockIdx.x * (4 / SPLIT) + unit) * OUTPUTS, most = min(OUTPUTS, outputs - first);
  const int share = (packs + SPLIT - 1) / SPLIT, end = min(packs, (part + 1) * share);
  const uint4* rows = (const uint4*)weight + (long long)first * packs;
  uint4 raw[DEEP][OUTPUTS];
  int p = part * share + lane;
#if EARLY
  fetchRows(raw, rows, p, end, packs, most);
  awaitOthers();
#else
  awaitOthers();
  fetchRows(raw, rows, p, end, packs, most);
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
    fetchRows(raw, rows, p, end, packs, most);
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
  if (part != 0 || lane >= M * OUTPUTS) return;
  const int m = lane / OUTPUTS, o = lane % OUTPUTS;
  float total = 0.f;
  #pragma unroll
  for (int s = 0; s < SPLIT; s++) total += parts[unit * SPLIT + s][m][o];
  if (o < most) Memory<1>::store(out + (long long)m * outputs + first + o, Pack<1>{{total}});
}`
