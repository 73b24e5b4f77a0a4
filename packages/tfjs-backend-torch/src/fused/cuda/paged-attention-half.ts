import { PAGED_PARTS } from "./paged-parts.ts"

/**
 * `pagedDecode` of bfloat16 heads of 64 or 128 numbers, by tensor cores: a warp takes 16 keys of its block's part at a time,
 * the next ones on their way to shared memory meanwhile, and keeps its own running softmax; they are merged at the end.
 * Scores are keys · queriesᵀ (up to 8 queries), the result is valuesᵀ · weights.
 */
export const PAGED_DECODE_HALF = `${PAGED_PARTS}
#define WARPS (D == 64 ? 4 : 2)
#define CHUNKS (D / 8)
__device__ inline unsigned sharedPlace(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ inline void copyAsync(unsigned to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from));
}
__device__ inline void commitCopies() { asm volatile("cp.async.commit_group;"); }
__device__ inline void awaitAllButOne() { asm volatile("cp.async.wait_group 1;" ::: "memory"); }
__device__ inline void tiles(unsigned (&r)[4], unsigned at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
__device__ inline void turnedTiles(unsigned (&r)[4], unsigned at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
__device__ inline unsigned turned(unsigned x) {
  unsigned y;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
  return y;
}
__device__ inline void addProduct(float (&c)[4], const unsigned (&a)[4], unsigned low, unsigned high) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(low), "r"(high));
}
/** Over the eight threads that hold the keys of a query. */
__device__ inline float mostOfKeys(float x) {
  for (int step = 4; step < 32; step <<= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}
extern "C" __global__ void pagedDecodeHalf(const T* q, const T* keys, const T* values, const int* table, const int* spans,
                                           T* out, float* parts, int rows, int width, int keyHeads, int splits,
                                           int splitLength, int window, float scale, float cap) {
  awaitOthers();
  const Part part = partOf(spans, rows, keyHeads, splits, splitLength, window);
  if (!part.isSingle) return;
  const int head = part.head, from = part.from, to = part.to;
  const long long token = part.token;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, group = lane >> 2, pair = (lane & 3) * 2;
  const int* pages = table + part.row * width;
  // a row of 16-byte chunks a key; the chunks of eight keys lie in different banks
  __shared__ __align__(128) unsigned char staged[2][WARPS][2][16 * D * 2];

  unsigned query[D / 16][2];
  #pragma unroll
  for (int b = 0; b < D / 16; b++) {
    const T* at = q + ((token * keyHeads + head) * G + min(group, G - 1)) * D + b * 16 + pair;
    query[b][0] = group < G ? *(const unsigned*)at : 0u;
    query[b][1] = group < G ? *(const unsigned*)(at + 8) : 0u;
  }
  float most[2] = {-3.0e38f, -3.0e38f}, sum[2] = {0.f, 0.f}, mixed[D / 16][4];
  #pragma unroll
  for (int b = 0; b < D / 16; b++)
    #pragma unroll
    for (int j = 0; j < 4; j++) mixed[b][j] = 0.f;

  const int strips = max(0, (to - from - warp * 16 + 16 * WARPS - 1) / (16 * WARPS));
  const auto fetch = [&](int strip) {
    if (strip < strips) {
      const int at = min(from + (strip * WARPS + warp) * 16 + (lane & 15), to - 1);
      const int slot = pages[at / PAGE] * PAGE + at % PAGE;
      const unsigned k = sharedPlace(staged[strip & 1][warp][0]), v = sharedPlace(staged[strip & 1][warp][1]);
      #pragma unroll
      for (int i = 0; i < CHUNKS / 2; i++) {
        const int key = (i * 32 + lane) / CHUNKS, chunk = (i * 32 + lane) % CHUNKS;
        const long long place = ((long long)__shfl_sync(0xffffffffu, slot, key) * keyHeads + head) * D + chunk * 8;
        const unsigned offset = (key * CHUNKS + (chunk ^ (key & 7))) * 16;
        copyAsync(k + offset, keys + place);
        copyAsync(v + offset, values + place);
      }
    }
    commitCopies();
  };
  fetch(0);
  for (int strip = 0; strip < strips; strip++) {
    fetch(strip + 1);
    awaitAllButOne();
    __syncwarp();
    const unsigned k = sharedPlace(staged[strip & 1][warp][0]), v = sharedPlace(staged[strip & 1][warp][1]);
    const int first = from + (strip * WARPS + warp) * 16;
    float score[4] = {0.f, 0.f, 0.f, 0.f};
    #pragma unroll
    for (int b = 0; b < D / 16; b++) {
      const int key = lane & 15, chunk = 2 * b + (lane >> 4);
      unsigned tile[4];
      tiles(tile, k + (key * CHUNKS + (chunk ^ (key & 7))) * 16);
      addProduct(score, tile, query[b][0], query[b][1]);
    }
    #pragma unroll
    for (int j = 0; j < 4; j++) {
      score[j] *= scale;
      if (cap != 0.f) score[j] = cap * tanhf(score[j] / cap);
      if (first + group + (j >> 1) * 8 >= to) score[j] = -3.0e38f;
    }
    #pragma unroll
    for (int c = 0; c < 2; c++) {
      const float higher = fmaxf(most[c], mostOfKeys(fmaxf(score[c], score[c + 2])));
      const float keep = __expf(most[c] - higher);
      most[c] = higher;
      score[c] = __expf(score[c] - higher);
      score[c + 2] = __expf(score[c + 2] - higher);
      sum[c] = sum[c] * keep + score[c] + score[c + 2];
      #pragma unroll
      for (int b = 0; b < D / 16; b++) { mixed[b][c] *= keep; mixed[b][c + 2] *= keep; }
    }
    const unsigned low = turned(narrow2(score[0], score[1])), high = turned(narrow2(score[2], score[3]));
    #pragma unroll
    for (int b = 0; b < D / 16; b++) {
      const int key = (lane & 7) + ((lane >> 4) << 3), chunk = 2 * b + ((lane >> 3) & 1);
      unsigned tile[4];
      turnedTiles(tile, v + (key * CHUNKS + (chunk ^ (key & 7))) * 16);
      addProduct(mixed[b], tile, low, high);
    }
    __syncwarp();
  }

  #pragma unroll
  for (int c = 0; c < 2; c++)
    for (int step = 4; step < 32; step <<= 1) sum[c] += __shfl_xor_sync(0xffffffffu, sum[c], step);
  __syncthreads();
  float* all = (float*)&staged[0][0][0][0];
  #pragma unroll
  for (int c = 0; c < 2; c++) {
    float* own = all + (warp * 8 + pair + c) * (D + 2);
    #pragma unroll
    for (int b = 0; b < D / 16; b++) {
      own[b * 16 + group] = mixed[b][c];
      own[b * 16 + group + 8] = mixed[b][c + 2];
    }
    if (group == 0) { own[D] = most[c]; own[D + 1] = sum[c]; }
  }
  __syncthreads();
  writePart(all, 8, WARPS, splits, part, keyHeads, out, parts);
}`
