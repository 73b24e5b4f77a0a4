/** One pass over each tensor: gates, row factors. */

export const ACTIVATIONS = `
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

/** out = act(gate)·up over n packs, `packs` a row; rows of gate and up begin every gateStep and upStep numbers. */
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

/** Each row times its factor; a row has `packs` packs. */
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
