/** One pass over each tensor: gates, rotations, row factors. */

const ACTIVATIONS = `
struct Slope { float value, slope; };
__device__ inline Slope silu(float x) {
  const float s = 1.f / (1.f + __expf(-x));
  return {x * s, s * (1.f + x * (1.f - s))};
}
__device__ inline Slope gelu(float x) {
  const float c = 0.5f * (1.f + erff(x * 0.70710678118654752f));
  return {x * c, c + x * 0.39894228040143268f * __expf(-0.5f * x * x)};
}
__device__ inline Slope gelu_tanh(float x) {
  const float t = tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x));
  const float inner = 0.79788456080286536f * (1.f + 0.134145f * x * x);
  return {0.5f * x * (1.f + t), 0.5f * (1.f + t) + 0.5f * x * (1.f - t * t) * inner};
}
`

/** out = act(gate)·up over n packs, \`packs\` a row; rows of gate and up begin every gateStep and upStep numbers. */
export const GATED = `${ACTIVATIONS}
extern "C" __global__ void gated(const T* gate, const T* up, T* out, long long n, int packs, int gateStep, int upStep) {
  awaitOthers();
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const long long row = i / packs;
    const int at = (int)(i - row * packs) * W;
    Pack<W> g = load(gate + row * gateStep + at);
    const Pack<W> u = load(up + row * upStep + at);
    #pragma unroll
    for (int j = 0; j < W; j++) g.v[j] = ACTIVATION(g.v[j]).value * u.v[j];
    store(out + i * W, g);
  }
}`

/** The gradients of gate and up, each row of one beside that of the other. */
export const GATED_GRADIENT = `${ACTIVATIONS}
extern "C" __global__ void gatedGradient(const T* gate, const T* up, const T* dy, T* both, long long n, int packs,
                                         int gateStep, int upStep) {
  awaitOthers();
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const long long row = i / packs;
    const int at = (int)(i - row * packs) * W;
    const Pack<W> g = load(gate + row * gateStep + at), d = load(dy + i * W);
    Pack<W> u = load(up + row * upStep + at), below;
    #pragma unroll
    for (int j = 0; j < W; j++) {
      const Slope a = ACTIVATION(g.v[j]);
      below.v[j] = d.v[j] * u.v[j] * a.slope;
      u.v[j] = d.v[j] * a.value;
    }
    T* to = both + (row * 2 * packs) * W + at;
    store(to, below);
    store(to + packs * W, u);
  }
}`

/** Rotates pairs (i, i + half) of each head by its token's angles; a thread has a pack of pairs or of what passes through. */
export const ROTARY = `
extern "C" __global__ void rotate(const T* x, const float* cosine, const float* sine, T* out, long long n, int heads,
                                  int width, int half, float sign) {
  awaitOthers();
  const int packs = (width - half) / W;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const int at = (int)(i % packs) * W;
    const long long head = i / packs, token = head / heads;
    const long long first = head * width + (at < half ? at : half + at);
    const Pack<W> a = load(x + first);
    if (at >= half) {
      store(out + first, a);
      continue;
    }
    const Pack<W> b = load(x + first + half), c = load(cosine + token * half + at), s = load(sine + token * half + at);
    Pack<W> p, q;
    #pragma unroll
    for (int j = 0; j < W; j++) {
      p.v[j] = a.v[j] * c.v[j] - sign * b.v[j] * s.v[j];
      q.v[j] = b.v[j] * c.v[j] + sign * a.v[j] * s.v[j];
    }
    store(out + first, p);
    store(out + first + half, q);
  }
}`

/**
 * The same for the heads of queries and keys of each token, and those of values taken along (\`values\` of them), from rows
 * that begin every qStep, kStep and vStep numbers to rows that begin every step numbers.
 */
export const ROTARY_HEADS = `
extern "C" __global__ void rotateHeads(const T* q, const T* k, const T* v, const float* cosine, const float* sine, T* outQ,
                                       T* outK, T* outV, long long n, int heads, int keyHeads, int values, int width,
                                       int half, float sign, int qStep, int kStep, int vStep, int toQ, int toK, int toV) {
  awaitOthers();
  const int packs = (width - half) / W, all = heads + keyHeads + values;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const int at = (int)(i % packs) * W;
    const long long row = i / packs, token = row / all;
    const int head = (int)(row - token * all);
    const bool isQ = head < heads, isK = !isQ && head < heads + keyHeads;
    const int own = isQ ? head : isK ? head - heads : head - heads - keyHeads;
    const int first = own * width + (at < half ? at : half + at);
    const T* from = (isQ ? q + token * qStep : isK ? k + token * kStep : v + token * vStep) + first;
    T* to = (isQ ? outQ + token * toQ : isK ? outK + token * toK : outV + token * toV) + first;
    const Pack<W> a = load(from);
    if (at >= half) {
      store(to, a);
      continue;
    }
    const Pack<W> b = load(from + half);
    if (!isQ && !isK) {
      store(to, a);
      store(to + half, b);
      continue;
    }
    const Pack<W> c = load(cosine + token * half + at), s = load(sine + token * half + at);
    Pack<W> x, y;
    #pragma unroll
    for (int j = 0; j < W; j++) {
      x.v[j] = a.v[j] * c.v[j] - sign * b.v[j] * s.v[j];
      y.v[j] = b.v[j] * c.v[j] + sign * a.v[j] * s.v[j];
    }
    store(to, x);
    store(to + half, y);
  }
}`

/**
 * Heads of new tokens on their way into a cache: queries rotated, keys rotated and written to their token's slot, values
 * written there. The angles are rows \`positions\` of a table. A slot below 0 is not written.
 */
export const CACHE_HEADS = `
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
    const Pack<W> a = load(from);
    if (at >= half) {
      store(to, a);
      continue;
    }
    const Pack<W> b = load(from + half);
    if (!isQ && !isK) {
      store(to, a);
      store(to + half, b);
      continue;
    }
    const long long turn = (long long)positions[token] * half + at;
    const Pack<W> c = load(cosine + turn), s = load(sine + turn);
    Pack<W> x, y;
    #pragma unroll
    for (int j = 0; j < W; j++) {
      x.v[j] = a.v[j] * c.v[j] - b.v[j] * s.v[j];
      y.v[j] = b.v[j] * c.v[j] + a.v[j] * s.v[j];
    }
    store(to, x);
    store(to + half, y);
  }
}`

/** Each row times its factor; a row has \`packs\` packs. */
export const SCALE_ROWS = `
extern "C" __global__ void scaleRows(const T* x, const float* factors, T* out, long long n, int packs) {
  awaitOthers();
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const float factor = factors[i / packs];
    Pack<W> a = load(x + i * W);
    #pragma unroll
    for (int j = 0; j < W; j++) a.v[j] *= factor;
    store(out + i * W, a);
  }
}`
