import { PAGED_PARTS } from "./paged-parts.ts"

/**
 * `pagedDecode` of bfloat16 heads of 16 to 256 numbers by tensor cores, for rows of any number of queries: a block has 8 · TILES
 * query heads of one key head, of one token or of consecutive ones. A warp takes 16 keys of its block's part at a time, the
 * next ones on their way to shared memory meanwhile, and keeps its own running softmax; they are merged at the end. Scores
 * are keys · queriesᵀ (8 queries a product), the result is valuesᵀ · weights. A query's sums are made in the same order whatever
 * TILES is and whoever its neighbours are: keys that it does not see add nothing, to the bit. PAGE 0: a row's keys lie end to
 * end from slot table[row] on. With EARLY all but the last key of a row and where they lie are known to be older than the kernel
 * before this one, and a warp's first keys are asked for while that is still at work.
 */
export const PAGED_HALF = `${PAGED_PARTS}
#define QUERIES (8 * TILES)
#define CHUNKS (D / 8)
#define SWIZZLE (CHUNKS < 8 ? CHUNKS - 1 : 7)
#define BYTES_STAGED (2 * WARPS * 2 * 16 * D * 2)
#define BYTES_MERGED (WARPS * QUERIES * (D + 2) * 4)
__device__ inline unsigned sharedPlace(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ inline void copyAsync(unsigned to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from));
}
__device__ inline void commitCopies() { asm volatile("cp.async.commit_group;"); }
__device__ inline void awaitAllButOne() { asm volatile("cp.async.wait_group 1;" ::: "memory"); }
__device__ inline void tiled(unsigned (&r)[4], unsigned at) {
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
extern "C" __global__ void pagedHalf(const T* q, const T* keys, const T* values, const int* table, const int* spans,
                                     const int* tiles, T* out, float* parts, float* normalizers, int rows, int width,
                                     int keyHeads, int splits, int splitLength, int window, long long tokens, float scale,
                                     float cap) {
#if !EARLY
  awaitOthers();
#endif
  const Block block = blockOf(spans, tiles, QUERIES / G, rows, keyHeads, splits, splitLength);
  if (block.tokens == 0) {
#if EARLY
    awaitOthers();
#endif
    return;
  }
  const int head = block.head, used = block.tokens * G;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, group = lane >> 2, pair = (lane & 3) * 2;
  const int* pages = table + (PAGE == 0 ? block.row : block.row * width);
  // a row of 16-byte chunks a key; the chunks of eight keys lie in different banks
  __shared__ __align__(128) unsigned char memory[BYTES_STAGED > BYTES_MERGED ? BYTES_STAGED : BYTES_MERGED];
  unsigned char (&staged)[2][WARPS][2][16 * D * 2] = *(unsigned char (*)[2][WARPS][2][16 * D * 2])memory;

  const int from = max(block.begin, firstSeen(block.seen, window)) / (16 * WARPS) * (16 * WARPS);
  const int to = min(block.end, block.seen + block.tokens - 1);
  const int strips = max(0, (to - from - warp * 16 + 16 * WARPS - 1) / (16 * WARPS));
  const auto fetch = [&](int strip) {
    if (strip < strips) {
      const int at = min(from + (strip * WARPS + warp) * 16 + (lane & 15), to - 1);
      const int slot = PAGE == 0 ? pages[0] + at : pages[at / max(PAGE, 1)] * PAGE + at % max(PAGE, 1);
      const unsigned k = sharedPlace(staged[strip & 1][warp][0]), v = sharedPlace(staged[strip & 1][warp][1]);
      #pragma unroll
      for (int i = 0; i < CHUNKS / 2; i++) {
        const int key = (i * 32 + lane) / CHUNKS, chunk = (i * 32 + lane) % CHUNKS;
        const long long place = ((long long)__shfl_sync(0xffffffffu, slot, key) * keyHeads + head) * D + chunk * 8;
        const unsigned offset = (key * CHUNKS + (chunk ^ (key & SWIZZLE))) * 16;
        copyAsync(k + offset, keys + place);
        copyAsync(v + offset, values + place);
      }
    }
    commitCopies();
  };
#if EARLY
  const bool isOlder = from + (warp + 1) * 16 < block.seen;
  if (isOlder) fetch(0);
  awaitOthers();
  if (!isOlder) fetch(0);
#else
  fetch(0);
#endif

  unsigned query[TILES][D / 16][2];
  int low[TILES][2], high[TILES][2];
  float most[TILES][2], sum[TILES][2], mixed[TILES][D / 16][4];
  #pragma unroll
  for (int n = 0; n < TILES; n++) {
    const int column = n * 8 + group;
    const T* at = q + (((block.token + min(column, used - 1) / G) * keyHeads + head) * G + min(column, used - 1) % G) * D + pair;
    #pragma unroll
    for (int b = 0; b < D / 16; b++) {
      query[n][b][0] = column < used ? *(const unsigned*)(at + b * 16) : 0u;
      query[n][b][1] = column < used ? *(const unsigned*)(at + b * 16 + 8) : 0u;
      #pragma unroll
      for (int j = 0; j < 4; j++) mixed[n][b][j] = 0.f;
    }
    #pragma unroll
    for (int c = 0; c < 2; c++) {
      const int length = n * 8 + pair + c < used ? block.seen + (n * 8 + pair + c) / G : 0;
      low[n][c] = firstSeen(length, window);
      high[n][c] = min(length, block.end);
      most[n][c] = -3.0e38f;
      sum[n][c] = 0.f;
    }
  }
  for (int strip = 0; strip < strips; strip++) {
    fetch(strip + 1);
    awaitAllButOne();
    __syncwarp();
    const unsigned k = sharedPlace(staged[strip & 1][warp][0]), v = sharedPlace(staged[strip & 1][warp][1]);
    const int first = from + (strip * WARPS + warp) * 16 + group;
    float score[TILES][4];
    #pragma unroll
    for (int n = 0; n < TILES; n++)
      #pragma unroll
      for (int j = 0; j < 4; j++) score[n][j] = 0.f;
    #pragma unroll
    for (int b = 0; b < D / 16; b++) {
      const int key = lane & 15, chunk = 2 * b + (lane >> 4);
      unsigned tile[4];
      tiled(tile, k + (key * CHUNKS + (chunk ^ (key & SWIZZLE))) * 16);
      #pragma unroll
      for (int n = 0; n < TILES; n++) addProduct(score[n], tile, query[n][b][0], query[n][b][1]);
    }
    unsigned weights[TILES][2];
    #pragma unroll
    for (int n = 0; n < TILES; n++) {
      #pragma unroll
      for (int j = 0; j < 4; j++) {
        score[n][j] = __fmul_rn(score[n][j], scale);
        if (cap != 0.f) score[n][j] = __fmul_rn(cap, tanhf(score[n][j] / cap));
        const int at = first + (j >> 1) * 8;
        if (at < low[n][j & 1] || at >= high[n][j & 1]) score[n][j] = -3.0e38f;
      }
      #pragma unroll
      for (int c = 0; c < 2; c++) {
        const float higher = fmaxf(most[n][c], mostOfKeys(fmaxf(score[n][c], score[n][c + 2])));
        const float keep = __expf(most[n][c] - higher);
        most[n][c] = higher;
        score[n][c] = __expf(score[n][c] - higher);
        score[n][c + 2] = __expf(score[n][c + 2] - higher);
        sum[n][c] = __fadd_rn(__fmaf_rn(sum[n][c], keep, score[n][c]), score[n][c + 2]);
        #pragma unroll
        for (int b = 0; b < D / 16; b++) { mixed[n][b][c] *= keep; mixed[n][b][c + 2] *= keep; }
      }
      weights[n][0] = turned(narrow2(score[n][0], score[n][1]));
      weights[n][1] = turned(narrow2(score[n][2], score[n][3]));
    }
    #pragma unroll
    for (int b = 0; b < D / 16; b++) {
      const int key = (lane & 7) + ((lane >> 4) << 3), chunk = 2 * b + ((lane >> 3) & 1);
      unsigned tile[4];
      turnedTiles(tile, v + (key * CHUNKS + (chunk ^ (key & SWIZZLE))) * 16);
      #pragma unroll
      for (int n = 0; n < TILES; n++) addProduct(mixed[n][b], tile, weights[n][0], weights[n][1]);
    }
    __syncwarp();
  }

  __syncthreads();
  float* all = (float*)memory;
  #pragma unroll
  for (int n = 0; n < TILES; n++)
    #pragma unroll
    for (int c = 0; c < 2; c++) {
      for (int step = 4; step < 32; step <<= 1) sum[n][c] += __shfl_xor_sync(0xffffffffu, sum[n][c], step);
      float* own = all + (warp * QUERIES + n * 8 + pair + c) * (D + 2);
      #pragma unroll
      for (int b = 0; b < D / 16; b++) {
        own[b * 16 + group] = mixed[n][b][c];
        own[b * 16 + group + 8] = mixed[n][b][c + 2];
      }
      if (group == 0) { own[D] = most[n][c]; own[D + 1] = sum[n][c]; }
    }
  __syncthreads();
  writePart(all, QUERIES, WARPS, splits, block, keyHeads, Results{out, normalizers, tokens}, parts);
}`
