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

/** out = act(gate)·up over n packs. */
export const GATED = `${ACTIVATIONS}
extern "C" __global__ void gated(const T* gate, const T* up, T* out, long long n) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    Pack<W> g = load(gate + i * W);
    const Pack<W> u = load(up + i * W);
    #pragma unroll
    for (int j = 0; j < W; j++) g.v[j] = ACTIVATION(g.v[j]).value * u.v[j];
    store(out + i * W, g);
  }
}`

export const GATED_GRADIENT = `${ACTIVATIONS}
extern "C" __global__ void gatedGradient(const T* gate, const T* up, const T* dy, T* dgate, T* dup, long long n) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const Pack<W> g = load(gate + i * W), d = load(dy + i * W);
    Pack<W> u = load(up + i * W), below;
    #pragma unroll
    for (int j = 0; j < W; j++) {
      const Slope a = ACTIVATION(g.v[j]);
      below.v[j] = d.v[j] * u.v[j] * a.slope;
      u.v[j] = d.v[j] * a.value;
    }
    store(dgate + i * W, below);
    store(dup + i * W, u);
  }
}`

/** Rotates pairs (i, i + half) of each head by its token's angles; a thread has a pack of pairs or of what passes through. */
export const ROTARY = `
extern "C" __global__ void rotate(const T* x, const float* cosine, const float* sine, T* out, long long n, int heads,
                                  int width, int half, float sign) {
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

/** Each row times its factor; a row has \`packs\` packs. */
export const SCALE_ROWS = `
extern "C" __global__ void scaleRows(const T* x, const float* factors, T* out, long long n, int packs) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const float factor = factors[i / packs];
    Pack<W> a = load(x + i * W);
    #pragma unroll
    for (int j = 0; j < W; j++) a.v[j] *= factor;
    store(out + i * W, a);
  }
}`
