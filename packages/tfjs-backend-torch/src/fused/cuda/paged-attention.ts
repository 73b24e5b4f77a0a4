import { PAGED_PARTS } from "./paged-parts.ts"

/**
 * Attention of rows with one query each over the pages of a cache. A block takes a row, a key head with its G query heads,
 * and one part of the row's keys; LANES threads, 2ⁿ, hold a key's D numbers, 8 each; the last ones may have none. Each group of threads reads AHEAD keys at a
 * time and keeps its own running softmax; they are merged at the end. Rows with another number of queries are left alone.
 */
export const PAGED_DECODE = `${PAGED_PARTS}
#define GROUPS (128 / LANES)
/** Eight numbers as they lie in memory. */
template <typename S> struct Eight;
template <> struct Eight<bf16> {
  uint4 raw;
  __device__ void read(const bf16* p) { raw = *(const uint4*)p; }
  __device__ Pack<8> values() const { return wide(raw); }
};
template <> struct Eight<float> {
  Pack<8> x;
  __device__ void read(const float* p) { x = Memory<8>::load(p); }
  __device__ Pack<8> values() const { return x; }
};
extern "C" __global__ void pagedDecode(const T* q, const T* keys, const T* values, const int* table, const int* spans, T* out,
                                       float* parts, int rows, int width, int keyHeads, int splits, int splitLength,
                                       int window, float scale, float cap) {
  awaitOthers();
  const Block block = blockOf(spans, nullptr, 1, rows, keyHeads, splits, splitLength);
  if (block.tokens == 0) return;
  const int head = block.head, from = max(block.begin, firstSeen(block.seen, window)), to = min(block.end, block.seen);
  const long long token = block.token;
  const int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
  // a thread without numbers reads the first ones, and its queries are 0
  const bool holds = D == LANES * 8 || lane * 8 < D;
  const int own = holds ? lane * 8 : 0;
  const unsigned mates = LANES == 32 ? 0xffffffffu : ((1u << LANES) - 1u) << ((threadIdx.x & 31) / LANES * LANES);
  const int* pages = table + block.row * width;
  Pack<8> query[G], mixed[G];
  float most[G], sum[G];
  #pragma unroll
  for (int g = 0; g < G; g++) {
    query[g] = Memory<8>::load(q + ((token * keyHeads + head) * G + g) * D + own);
    most[g] = -3.0e38f;
    sum[g] = 0.f;
    #pragma unroll
    for (int j = 0; j < 8; j++) { query[g].v[j] *= holds ? scale : 0.f; mixed[g].v[j] = 0.f; }
  }
  for (int t = from + group; t < to; t += GROUPS * AHEAD) {
    Eight<T> k[AHEAD], v[AHEAD];
    #pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const int at = min(t + a * GROUPS, to - 1);
      const long long slot = (long long)pages[at / PAGE] * PAGE + at % PAGE;
      const long long place = (slot * keyHeads + head) * D + own;
      k[a].read(keys + place);
      v[a].read(values + place);
    }
    float weights[AHEAD][G];
    #pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const Pack<8> key = k[a].values();
      #pragma unroll
      for (int g = 0; g < G; g++) {
        float score = 0.f;
        #pragma unroll
        for (int j = 0; j < 8; j++) score += query[g].v[j] * key.v[j];
        weights[a][g] = score;
      }
    }
    #pragma unroll
    for (int step = LANES / 2; step > 0; step >>= 1)
      #pragma unroll
      for (int a = 0; a < AHEAD; a++)
        #pragma unroll
        for (int g = 0; g < G; g++) weights[a][g] += __shfl_xor_sync(mates, weights[a][g], step);
    #pragma unroll
    for (int g = 0; g < G; g++) {
      float higher = most[g];
      #pragma unroll
      for (int a = 0; a < AHEAD; a++) {
        if (cap != 0.f) weights[a][g] = cap * tanhf(weights[a][g] / cap);
        if (t + a * GROUPS >= to) weights[a][g] = -3.0e38f;
        higher = fmaxf(higher, weights[a][g]);
      }
      const float keep = __expf(most[g] - higher);
      most[g] = higher;
      sum[g] *= keep;
      #pragma unroll
      for (int j = 0; j < 8; j++) mixed[g].v[j] *= keep;
      #pragma unroll
      for (int a = 0; a < AHEAD; a++) {
        weights[a][g] = __expf(weights[a][g] - higher);
        sum[g] += weights[a][g];
      }
    }
    #pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const Pack<8> value = v[a].values();
      #pragma unroll
      for (int g = 0; g < G; g++)
        #pragma unroll
        for (int j = 0; j < 8; j++) mixed[g].v[j] += weights[a][g] * value.v[j];
    }
  }
  __shared__ float all[GROUPS][G][D + 2];
  #pragma unroll
  for (int g = 0; g < G; g++) {
    if (lane == 0) { all[group][g][D] = most[g]; all[group][g][D + 1] = sum[g]; }
    if (!holds) continue;
    #pragma unroll
    for (int j = 0; j < 8; j++) all[group][g][own + j] = mixed[g].v[j];
  }
  __syncthreads();
  writePart(&all[0][0][0], G, GROUPS, splits, block, keyHeads, Results{out, nullptr, 0}, parts);
}`

/** Merges the parts, \`queries\` a block: of a row and key head each, or of a tile. */
export const PAGED_MERGE = `${PAGED_PARTS}
extern "C" __global__ void pagedMerge(const float* parts, const int* spans, const int* tiles, T* out, float* normalizers,
                                      int rows, int keyHeads, int splits, int queries, long long tokens) {
  awaitOthers();
  const Block block = blockOf(spans, tiles, queries / G, rows, keyHeads, 1, 0);
  for (int i = threadIdx.x; i < block.tokens * G * D; i += blockDim.x) {
    const int query = i / D, c = i % D;
    const float* first = parts + ((long long)blockIdx.x * splits * queries + query) * (D + 2);
    const Merged m = mergedAt(first, (long long)queries * (D + 2), splits, c);
    writeResult(Results{out, normalizers, tokens}, block, keyHeads, query, c, m);
  }
}`
