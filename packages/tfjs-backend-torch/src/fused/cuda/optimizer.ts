/** AdamW in one pass over many parameters, of which `newer` is 1 − β₁ and `newerSquare` 1 − β₂: reads gradients (T), writes float32 parameters and moments and compute copies, where there are some. */
export const ADAMW = `
struct Item {
  float* parameter;
  const T* gradient;
  float* first;
  float* second;
  bf16* copy;
  long long packs;
  float decay, stepSize;
  int end;
};

extern "C" __global__ void adamw(const __grid_constant__ Items<Item> items, int count, float beta2, float newer,
                                 float newerSquare, float epsilon, float denominatorScale, float gradientScale) {
  awaitOthers();
  const Place place = placeAmong(items, count);
  const Item& item = items.at[place.item];
  const long long i = place.block * (long long)blockDim.x + threadIdx.x;
  if (i >= item.packs) return;
  Pack<W> p = load(item.parameter + i * W), m = load(item.first + i * W), v = load(item.second + i * W);
  const Pack<W> g = load(item.gradient + i * W);
  #pragma unroll
  for (int j = 0; j < W; j++) {
    const float slope = g.v[j] * gradientScale;
    m.v[j] += newer * (slope - m.v[j]);
    v.v[j] = beta2 * v.v[j] + newerSquare * slope * slope;
    p.v[j] = p.v[j] * item.decay - __fdividef(item.stepSize * m.v[j], sqrtf(v.v[j]) * denominatorScale + epsilon);
  }
  store(item.parameter + i * W, p);
  store(item.first + i * W, m);
  store(item.second + i * W, v);
  if (item.copy != nullptr) store(item.copy + i * W, p);
}`

/** Sums of squares in float64, one a block from place `first` on; then the root of all, and what its rounding to float32 left. */
export const SQUARES = `
struct Item {
  const T* x;
  long long packs;
  int end;
};

extern "C" __global__ void squares(const __grid_constant__ Items<Item> items, int count, double* sums, int first) {
  awaitOthers();
  const Place place = placeAmong(items, count);
  const Item& item = items.at[place.item];
  double sum = 0;
  for (long long i = place.block * (long long)blockDim.x + threadIdx.x; i < item.packs; i += place.blocks * (long long)blockDim.x) {
    const Pack<W> a = load(item.x + i * W);
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
