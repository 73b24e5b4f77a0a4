/** AdamW in one pass, of which `newer` is 1 − β₁ and `newerSquare` 1 − β₂: reads the gradient (G), writes float32 parameter and moments and the compute copy, where there is one. */
export const ADAMW = `
extern "C" __global__ void adamw(float* parameter, const T* gradient, float* first, float* second, bf16* copy,
                                 long long n, float beta2, float newer, float newerSquare, float epsilon, float decay,
                                 float stepSize, float denominatorScale, float gradientScale) {
  awaitOthers();
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    Pack<W> p = load(parameter + i * W), m = load(first + i * W), v = load(second + i * W);
    const Pack<W> g = load(gradient + i * W);
    #pragma unroll
    for (int j = 0; j < W; j++) {
      const float slope = g.v[j] * gradientScale;
      m.v[j] += newer * (slope - m.v[j]);
      v.v[j] = beta2 * v.v[j] + newerSquare * slope * slope;
      p.v[j] = p.v[j] * decay - __fdividef(stepSize * m.v[j], sqrtf(v.v[j]) * denominatorScale + epsilon);
    }
    store(parameter + i * W, p);
    store(first + i * W, m);
    store(second + i * W, v);
    if (copy != nullptr) store(copy + i * W, p);
  }
}`

/** Sums of squares in float64, one a block from place first on; then the root of all, and what its rounding to float32 left. */
export const SQUARES = `
extern "C" __global__ void squares(const T* x, double* sums, int first, long long n) {
  awaitOthers();
  double sum = 0;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
    const Pack<W> a = load(x + i * W);
    #pragma unroll
    for (int j = 0; j < W; j++) sum += (double)a.v[j] * a.v[j];
  }
  sum = blockSum(sum);
  if (threadIdx.x == 0) sums[first + blockIdx.x] = sum;
}`

export const ROOT = `
extern "C" __global__ void root(const double* sums, float* out, int count) {
  awaitOthers();
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += sums[i];
  sum = sqrt(blockSum(sum));
  if (threadIdx.x != 0) return;
  const float rounded = (float)sum;
  out[0] = rounded;
  out[1] = isfinite(rounded) ? (float)(sum - rounded) : 0.f;
}`
