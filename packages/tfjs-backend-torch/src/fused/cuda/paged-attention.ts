/**
 * Attention of rows with one query each over the pages of a cache. A block takes a row, a key head with its G query heads,
 * and one part of the row's keys; LANES threads hold a key's D numbers, 8 each. Each group of threads reads AHEAD keys at a
 * time and keeps its own running softmax; they are merged at the end. Rows with another number of queries are left alone.
 */
export const PAGED_DECODE = `
#define LANES (D / 8)
#define GROUPS (128 / LANES)
/** Eight numbers as they lie in memory. */
template <typename S> struct Eight;
template <> struct Eight<bf16> {
  uint4 raw;
  __device__ void read(const bf16* p) { raw = *(const uint4*)p; }
  __device__ Pack<8> wide() const {
    const unsigned w[4] = {raw.x, raw.y, raw.z, raw.w};
    Pack<8> x;
    #pragma unroll
    for (int i = 0; i < 4; i++) {
      x.v[2 * i] = __uint_as_float(w[i] << 16);
      x.v[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
    }
    return x;
  }
};
template <> struct Eight<float> {
  Pack<8> x;
  __device__ void read(const float* p) { x = Memory<8>::load(p); }
  __device__ Pack<8> wide() const { return x; }
};
extern "C" __global__ void pagedDecode(const T* q, const T* keys, const T* values, const int* table, const int* spans, T* out,
                                       float* parts, int rows, int width, int keyHeads, int splits, int splitLength,
                                       int window, float scale, float cap) {
  awaitOthers();
  const int split = blockIdx.x % splits, unit = blockIdx.x / splits, head = unit % keyHeads, row = unit / keyHeads;
  if (spans[rows + row] != 1) return;
  const long long token = spans[row];
  const int length = spans[2 * rows + row];
  const int from = (window > 0 && length > window ? length - window : 0) + split * splitLength;
  const int to = min(length, from + splitLength);
  const int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
  const unsigned mates = LANES == 32 ? 0xffffffffu : ((1u << LANES) - 1u) << ((threadIdx.x & 31) / LANES * LANES);
  const int* pages = table + row * width;
  Pack<8> query[G], mixed[G];
  float most[G], sum[G];
  #pragma unroll
  for (int g = 0; g < G; g++) {
    query[g] = Memory<8>::load(q + ((token * keyHeads + head) * G + g) * D + lane * 8);
    most[g] = -3.0e38f;
    sum[g] = 0.f;
    #pragma unroll
    for (int j = 0; j < 8; j++) { query[g].v[j] *= scale; mixed[g].v[j] = 0.f; }
  }
  for (int t = from + group; t < to; t += GROUPS * AHEAD) {
    Eight<T> k[AHEAD], v[AHEAD];
    #pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const int at = min(t + a * GROUPS, to - 1);
      const long long slot = (long long)pages[at / PAGE] * PAGE + at % PAGE;
      const long long place = (slot * keyHeads + head) * D + lane * 8;
      k[a].read(keys + place);
      v[a].read(values + place);
    }
    float weights[AHEAD][G];
    #pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const Pack<8> key = k[a].wide();
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
      const Pack<8> value = v[a].wide();
      #pragma unroll
      for (int g = 0; g < G; g++)
        #pragma unroll
        for (int j = 0; j < 8; j++) mixed[g].v[j] += weights[a][g] * value.v[j];
    }
  }
  __shared__ float mosts[GROUPS][G], sums[GROUPS][G], all[GROUPS][G][D];
  #pragma unroll
  for (int g = 0; g < G; g++) {
    if (lane == 0) { mosts[group][g] = most[g]; sums[group][g] = sum[g]; }
    #pragma unroll
    for (int j = 0; j < 8; j++) all[group][g][lane * 8 + j] = mixed[g].v[j];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < G * D; i += blockDim.x) {
    const int g = i / D, c = i % D;
    float top = -3.0e38f, total = 0.f, value = 0.f;
    for (int n = 0; n < GROUPS; n++) top = fmaxf(top, mosts[n][g]);
    for (int n = 0; n < GROUPS; n++) {
      const float factor = __expf(mosts[n][g] - top);
      total += factor * sums[n][g];
      value += factor * all[n][g][c];
    }
    if (splits == 1) {
      Memory<1>::store(out + ((token * keyHeads + head) * G + g) * D + c, Pack<1>{{value / total}});
      continue;
    }
    float* part = parts + ((long long)blockIdx.x * G + g) * (D + 2);
    part[c] = value;
    if (c == 0) { part[D] = top; part[D + 1] = total; }
  }
}`

/** Merges the parts of \`pagedDecode\`: a block a row and key head. */
export const PAGED_MERGE = `
extern "C" __global__ void pagedMerge(const float* parts, const int* spans, T* out, int rows, int keyHeads, int splits) {
  awaitOthers();
  const int head = blockIdx.x % keyHeads, row = blockIdx.x / keyHeads;
  if (spans[rows + row] != 1) return;
  const long long token = spans[row];
  for (int i = threadIdx.x; i < G * D; i += blockDim.x) {
    const int g = i / D, c = i % D;
    const float* first = parts + ((long long)blockIdx.x * splits * G + g) * (D + 2);
    const long long step = (long long)G * (D + 2);
    float top = -3.0e38f, total = 0.f, value = 0.f;
    for (int n = 0; n < splits; n++) top = fmaxf(top, first[n * step + D]);
    for (int n = 0; n < splits; n++) {
      const float factor = __expf(first[n * step + D] - top);
      total += factor * first[n * step + D + 1];
      value += factor * first[n * step + c];
    }
    Memory<1>::store(out + ((token * keyHeads + head) * G + g) * D + c, Pack<1>{{value / total}});
  }
}`
