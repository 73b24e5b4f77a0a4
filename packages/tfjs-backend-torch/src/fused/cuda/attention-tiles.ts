/** Numbers of a head; keys of a block; queries of a tile. */
export const [HEAD, KEYS, QUERIES] = [64, 128, 64] as const

/** What the three kernels know of the rows they are about. */
export const ATTENTION_TILES = `
constexpr int HEAD = ${HEAD}, KEYS = ${KEYS}, QUERIES = ${QUERIES};
constexpr float LOG2_E = 1.4426950408889634f;

/** A block of keys: where its row starts among all tokens, its length, the block's first key, and the row's first tile. */
struct Place { int start, length, key, tile; };

/** The places as a list, those with the most queries first; null where \`rows\` rows of \`length\` tokens follow one another. */
__device__ inline Place placeOf(const int4* places, int index, int rows, int length) {
  if (places != nullptr) {
    const int4 p = places[index];
    return {p.x, p.y, p.z, p.w};
  }
  const int row = index % rows, blocks = (length + KEYS - 1) / KEYS;
  return {row * length, length, index / rows * KEYS, row * blocks * (KEYS / QUERIES)};
}

/** Two times two numbers of a head, half a head apart, scaled and turned back by their token's angles; only scaled without angles. */
__device__ inline void turnBack(float2& a, float2& b, float scale, const float* cosine, const float* sine, long long at) {
  a.x *= scale, a.y *= scale, b.x *= scale, b.y *= scale;
  if (cosine == nullptr) return;
  const float2 c = *(const float2*)(cosine + at), s = *(const float2*)(sine + at), x = a;
  a.x = fmaf(b.x, s.x, x.x * c.x), a.y = fmaf(b.y, s.y, x.y * c.y);
  b.x = fmaf(-x.x, s.x, b.x * c.x), b.y = fmaf(-x.y, s.y, b.y * c.y);
}`

/**
 * What the gradient reads of queries, a block a tile of 64 of a head: the sum of slope times value over the head's numbers (what
 * their scores' slopes have in common) and the log-normalizer by powers of two, both [tiles, H, 64]; and zeros where the gradients of
 * queries are added up. Log-normalizers lie as [rows, H, length], or [H, tokens] of listed places.
 */
export const ATTENTION_STATISTICS = `${ATTENTION_TILES}
extern "C" __global__ void __launch_bounds__(128)
attentionStatistics(const bf16* out, const bf16* dy, const float* normalizers, const int4* places, float* statistics, float* sums, int rows,
                    int length, int heads, int tokens) {
  awaitOthers();
  const int head = blockIdx.x % heads, index = blockIdx.x / heads;
  const Place place = placeOf(places, index / 2, rows, length);
  const int first = place.key + index % 2 * QUERIES, lane = threadIdx.x % 8;
  const long long tile = (long long)(place.tile + first / QUERIES) * heads + head;
  const float* known = normalizers + (places != nullptr ? (long long)head * tokens + place.start
                                                        : (long long)place.start * heads + (long long)head * length);
  float4* zeros = (float4*)(sums + tile * QUERIES * HEAD) + threadIdx.x;
  #pragma unroll
  for (int i = 0; i < QUERIES * HEAD / 512; i++) zeros[i * 128] = make_float4(0.f, 0.f, 0.f, 0.f);
  #pragma unroll
  for (int i = 0; i < QUERIES / 16; i++) {
    const int inside = threadIdx.x / 8 + i * 16, query = first + inside;
    float sum = 0.f;
    if (query < place.length) {
      const long long at = ((long long)(place.start + query) * heads + head) * HEAD + lane * 8;
      const Pack<8> a = load(out + at), b = load(dy + at);
      #pragma unroll
      for (int j = 0; j < 8; j++) sum += a.v[j] * b.v[j];
    }
    #pragma unroll
    for (int step = 4; step > 0; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (lane != 0) continue;
    float* to = statistics + tile * 2 * QUERIES + inside;
    // no score has a share in the probabilities of what is behind the row
    to[0] = query < place.length ? known[query] * LOG2_E : __int_as_float(0x7f800000);
    to[QUERIES] = sum;
  }
}`

/** dq of its sums, turned back where there are angles, a block a tile of 64 queries of a head. */
export const ATTENTION_QUERIES = `${ATTENTION_TILES}
extern "C" __global__ void __launch_bounds__(128)
attentionQueries(const float* sums, const int4* places, const float* cosine, const float* sine, bf16* dq, int rows, int length, int heads,
                 int step, float scale) {
  __shared__ unsigned box[QUERIES][HEAD / 2 + 4];
  awaitOthers();
  const int head = blockIdx.x % heads, index = blockIdx.x / heads;
  const Place place = placeOf(places, index / 2, rows, length);
  const int first = place.key + index % 2 * QUERIES, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (first >= place.length) return;
  const long long tile = (long long)(place.tile + first / QUERIES) * heads + head;
  const float4* from = (const float4*)(sums + tile * QUERIES * HEAD) + threadIdx.x;
  float4 v[8];
  #pragma unroll
  for (int j = 0; j < 8; j++) v[j] = from[j * 128];
  #pragma unroll
  for (int half = 0; half < 2; half++) {
    const int inside = warp * 16 + lane / 4 + half * 8, query = min(first + inside, place.length - 1);
    #pragma unroll
    for (int j = 0; j < 4; j++) {
      float2 a = half == 0 ? make_float2(v[j].x, v[j].y) : make_float2(v[j].z, v[j].w);
      float2 b = half == 0 ? make_float2(v[j + 4].x, v[j + 4].y) : make_float2(v[j + 4].z, v[j + 4].w);
      turnBack(a, b, scale, cosine, sine, (long long)(place.start + query) * (HEAD / 2) + j * 8 + 2 * (lane % 4));
      box[inside][j * 4 + lane % 4] = narrow2(a.x, a.y);
      box[inside][j * 4 + lane % 4 + HEAD / 4] = narrow2(b.x, b.y);
    }
  }
  __syncwarp();
  #pragma unroll
  for (int i = 0; i < 4; i++) {
    const int inside = warp * 16 + i * 4 + lane / 8, query = first + inside;
    if (query >= place.length) continue;
    *(uint4*)(dq + (long long)(place.start + query) * step + head * HEAD + lane % 8 * 8) = *(const uint4*)&box[inside][lane % 8 * 4];
  }
}`
