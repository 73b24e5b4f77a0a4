/**
 * The rows of each group by the transpose of a weight of its own on tensor cores, where groups have so few that reading the weights
 * is most of the work. `ends` says where they end; a group has `blocks` blocks.
 *
 * A warp has 16·MT outputs and 8·NT rows at a time, and SPLIT warps share what an output adds up. Both operands are read from
 * memory as their fragments: a lane takes 8 numbers in a row of 32, the same of either, and hands them to two products of 16,
 * which do not mind in what order they are told what to add up.
 */
export const THIN_PRODUCT = `
#define WARPS 8
#define DEPTH (NT * MT > 2 ? 2 : 4)
__device__ inline void multiply(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
extern "C" __global__ void thinProduct(const T* x, const T* weight, const int* ends, T* out, int outputs, int inner, int blocks) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, part = warp % SPLIT, unit = warp / SPLIT;
  const int of = lane >> 2, at = 8 * (lane & 3);
  const int group = blockIdx.x / blocks, block = blockIdx.x - group * blocks;
  const int first = (block * (WARPS / SPLIT) + unit) * 16 * MT;
  const T* matrix = weight + ((long long)group * outputs + first) * inner;
  const int chunks = (inner + 31) / 32, share = (chunks + SPLIT - 1) / SPLIT;
  const int from = part * share, to = min(chunks, from + share);
  __shared__ float parts[WARPS][8 * NT][16 * MT + 1];
  awaitOthers();
  const int begin = group == 0 ? 0 : ends[group - 1], end = ends[group];
  for (int start = begin; start < end; start += 8 * NT) {
    const int tiles = (min(end - start, 8 * NT) + 7) / 8;
    float sum[MT][NT][4];
    #pragma unroll
    for (int m = 0; m < MT; m++)
      #pragma unroll
      for (int n = 0; n < NT; n++)
        #pragma unroll
        for (int j = 0; j < 4; j++) sum[m][n][j] = 0.f;
    for (int c = from; c < to; c += DEPTH) {
      uint4 a[DEPTH][MT][2];
      #pragma unroll
      for (int d = 0; d < DEPTH; d++) {
        const int k = 32 * (c + d) + at;
        #pragma unroll
        for (int m = 0; m < MT; m++)
          #pragma unroll
          for (int half = 0; half < 2; half++) {
            const int o = 16 * m + 8 * half + of;
            const bool isThere = c + d < to && k < inner && first + o < outputs;
            a[d][m][half] = isThere ? __ldcs((const uint4*)(matrix + (long long)o * inner + k)) : make_uint4(0u, 0u, 0u, 0u);
          }
      }
      #pragma unroll
      for (int d = 0; d < DEPTH; d++) {
        const int k = 32 * (c + d) + at;
        #pragma unroll
        for (int n = 0; n < NT; n++) {
          if (n >= tiles) break;
          const int row = start + 8 * n + of;
          const bool isThere = c + d < to && k < inner && row < end;
          const uint4 b = isThere ? *(const uint4*)(x + (long long)row * inner + k) : make_uint4(0u, 0u, 0u, 0u);
          #pragma unroll
          for (int m = 0; m < MT; m++) {
            const uint4 low = a[d][m][0], high = a[d][m][1];
            multiply(sum[m][n], low.x, high.x, low.y, high.y, b.x, b.y);
            multiply(sum[m][n], low.z, high.z, low.w, high.w, b.z, b.w);
          }
        }
      }
    }
    __syncthreads();
    #pragma unroll
    for (int m = 0; m < MT; m++)
      #pragma unroll
      for (int n = 0; n < NT; n++)
        #pragma unroll
        for (int j = 0; j < 4; j++)
          parts[warp][8 * n + 2 * (lane & 3) + (j & 1)][16 * m + of + 8 * (j >> 1)] = sum[m][n][j];
    __syncthreads();
    for (int i = part * 32 + lane; i < 8 * tiles * 16 * MT; i += 32 * SPLIT) {
      const int row = i / (16 * MT), o = i - row * 16 * MT;
      if (start + row >= end || first + o >= outputs) continue;
      float total = 0.f;
      #pragma unroll
      for (int s = 0; s < SPLIT; s++) total += parts[unit * SPLIT + s][row][o];
      Memory<1>::store(out + (long long)(start + row) * outputs + first + o, Pack<1>{{total}});
    }
  }
}`
