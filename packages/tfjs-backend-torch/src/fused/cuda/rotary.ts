/** Half-split rotation of packs a and b, the halves' numbers, by angles; sign −1 turns back. Every kernel rounds alike. */
const TURN = `
__device__ inline void turn(Pack<W>& a, Pack<W>& b, const Pack<W>& c, const Pack<W>& s, float sign) {
  #pragma unroll
  for (int j = 0; j < W; j++) {
    const float x = a.v[j], y = b.v[j], sine = sign * s.v[j];
    a.v[j] = __fmaf_rn(-y, sine, __fmul_rn(x, c.v[j]));
    b.v[j] = __fmaf_rn(x, sine, __fmul_rn(y, c.v[j]));
  }
}`

/** Rotates pairs (i, i + half) of each head by its token's angles; a thread has a pack of pairs or of what passes through. */
export const ROTARY = `${TURN}
extern "C" __global__ void rotate(const T* x, const float* cosine, const float* sine, T* out, long long n, int heads,
                                  int width, int half, float sign) {
  awaitOthers();
  const int packs = (width - half) / W;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const int at = (int)(i % packs) * W;
    const long long head = i / packs, token = head / heads;
    const long long first = head * width + (at < half ? at : half + at);
    Pack<W> a = load(x + first);
    if (at >= half) {
      store(out + first, a);
      continue;
    }
    Pack<W> b = load(x + first + half);
    turn(a, b, load(cosine + token * half + at), load(sine + token * half + at), sign);
    store(out + first, a);
    store(out + first + half, b);
  }
}`

/**
 * The same for the heads of queries and keys of each token, and those of values taken along (`values` of them), from rows
 * that begin every qStep, kStep and vStep numbers to rows that begin every step numbers. A thread has a pack of EACH heads.
 */
export const ROTARY_HEADS = `${TURN}
template <typename P> __device__ inline P* headOf(P* q, P* k, P* v, int head, int heads, int keyHeads, int width) {
  if (head < heads) return q + head * width;
  return head < heads + keyHeads ? k + (head - heads) * width : v + (head - heads - keyHeads) * width;
}
extern "C" __global__ void rotateHeads(const T* q, const T* k, const T* v, const float* cosine, const float* sine, T* outQ,
                                       T* outK, T* outV, long long n, int heads, int keyHeads, int values, int width,
                                       int half, float sign, int qStep, int kStep, int vStep, int toQ, int toK, int toV) {
  awaitOthers();
  const int packs = (width - half) / W, all = heads + keyHeads + values, groups = (all + EACH - 1) / EACH;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const int at = (int)(i % packs) * W;
    const long long row = i / packs, token = row / groups;
    const int group = (int)(row - token * groups);
    const bool isTurned = at < half;
    const int place = isTurned ? at : half + at;
    const T *fromQ = q + token * qStep + place, *fromK = k + token * kStep + place, *fromV = v + token * vStep + place;
    Stored a[EACH], b[EACH];
    #pragma unroll
    for (int e = 0; e < EACH; e++) {
      const int head = group + e * groups;
      if (head >= all) continue;
      const T* from = headOf(fromQ, fromK, fromV, head, heads, keyHeads, width);
      a[e] = stored(from);
      if (isTurned) b[e] = stored(from + half);
    }
    Pack<W> c, s;
    if (isTurned) {
      c = load(cosine + token * half + at);
      s = load(sine + token * half + at);
    }
    T *toRowQ = outQ + token * toQ + place, *toRowK = outK + token * toK + place, *toRowV = outV + token * toV + place;
    #pragma unroll
    for (int e = 0; e < EACH; e++) {
      const int head = group + e * groups;
      if (head >= all) continue;
      T* to = headOf(toRowQ, toRowK, toRowV, head, heads, keyHeads, width);
      Pack<W> x = wide(a[e]);
      if (!isTurned) {
        store(to, x);
        continue;
      }
      Pack<W> y = wide(b[e]);
      if (head < heads + keyHeads) turn(x, y, c, s, sign);
      store(to, x);
      store(to + half, y);
    }
  }
}`

/**
 * Heads of new tokens on their way into a cache: queries rotated, keys rotated and written to their token's slot, values
 * written there. The angles are rows `positions` of a table. A slot below 0 is not written.
 */
export const CACHE_HEADS = `${TURN}
extern "C" __global__ void cacheHeads(const T* q, const T* k, const T* v, const float* cosine, const float* sine,
                                      const int* positions, const int* slots, T* outQ, T* keys, T* values, long long n,
                                      int heads, int keyHeads, int width, int half, int qStep, int kStep, int vStep) {
  awaitOthers();
  const int packs = (width - half) / W, all = heads + 2 * keyHeads;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const int at = (int)(i % packs) * W;
    const long long row = i / packs, token = row / all;
    const int head = (int)(row - token * all), slot = slots[token];
    const bool isQ = head < heads, isK = !isQ && head < heads + keyHeads;
    if (!isQ && slot < 0) continue;
    const int own = isQ ? head : isK ? head - heads : head - heads - keyHeads;
    const int first = own * width + (at < half ? at : half + at);
    const T* from = (isQ ? q + token * qStep : isK ? k + token * kStep : v + token * vStep) + first;
    const long long place = (long long)slot * keyHeads * width;
    T* to = (isQ ? outQ + token * heads * width : (isK ? keys : values) + place) + first;
    Pack<W> a = load(from);
    if (at >= half) {
      store(to, a);
      continue;
    }
    Pack<W> b = load(from + half);
    const long long angle = (long long)positions[token] * half + at;
    if (isQ || isK) turn(a, b, load(cosine + angle), load(sine + angle), 1.f);
    store(to, a);
    store(to + half, b);
  }
}`
