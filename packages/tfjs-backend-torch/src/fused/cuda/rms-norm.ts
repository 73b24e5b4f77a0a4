/** RMS norm, a block a row forward; backward a block takes every gridDim-th row and keeps its share of dweight. */

export const RMS_NORM = `
/** \`addend\` and \`total\` are null where the norm is of x alone; else it is of x + addend, rounded and left in total. */
extern "C" __global__ void rmsNorm(const T* x, const T* addend, const float* weight, T* total, T* out, int width,
                                   float epsilon) {
  awaitOthers();
  const long long start = (long long)blockIdx.x * width;
  const T* row = x + start;
  T* to = out + start;
  float squares = 0.f;
  for (int i = threadIdx.x * W; i < width; i += blockDim.x * W) {
    Pack<W> a = load(row + i);
    if (addend != nullptr) {
      const Pack<W> b = load(addend + start + i);
      #pragma unroll
      for (int j = 0; j < W; j++) a.v[j] += b.v[j];
      store(total + start + i, a);
      a = load(total + start + i);
    }
    #pragma unroll
    for (int j = 0; j < W; j++) squares += a.v[j] * a.v[j];
  }
  const float scale = rsqrtf(blockSum(squares) / width + epsilon);
  if (addend != nullptr) row = total + start;
  for (int i = threadIdx.x * W; i < width; i += blockDim.x * W) {
    Pack<W> a = load(row + i);
    const Pack<W> w = load(weight + i);
    #pragma unroll
    for (int j = 0; j < W; j++) a.v[j] = a.v[j] * scale * w.v[j];
    store(to + i, a);
  }
}`

/**
 * A thread owns the columns (threadIdx + k·blockDim)·W, k < PACKS; dweight is [gridDim, width], and made with macro WITH_WEIGHT. What flows into x past
 * the norm (`past`, or null) is added to dx.
 */
export const RMS_NORM_GRADIENT = `
extern "C" __global__ void rmsNormGradient(const T* x, const float* weight, const T* dy, const T* past, T* dx,
                                           float* dweight, int rows, int width, float epsilon) {
  awaitOthers();
  float sums[PACKS][W];
  #pragma unroll
  for (int k = 0; k < PACKS; k++)
    #pragma unroll
    for (int j = 0; j < W; j++) sums[k][j] = 0.f;
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    const long long start = (long long)row * width;
    Pack<W> a[PACKS], d[PACKS];
    float squares = 0.f, products = 0.f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
      const int i = (threadIdx.x + k * blockDim.x) * W;
      if (i >= width) continue;
      a[k] = load(x + start + i);
      d[k] = load(dy + start + i);
      const Pack<W> w = load(weight + i);
      #pragma unroll
      for (int j = 0; j < W; j++) {
        squares += a[k].v[j] * a[k].v[j];
        products += a[k].v[j] * d[k].v[j] * w.v[j];
      }
    }
    const float scale = rsqrtf(blockSum(squares) / width + epsilon);
    const float shared = blockSum(products) * scale * scale / width;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
      const int i = (threadIdx.x + k * blockDim.x) * W;
      if (i >= width) continue;
      const Pack<W> w = load(weight + i);
      Pack<W> below;
      #pragma unroll
      for (int j = 0; j < W; j++) {
        sums[k][j] += d[k].v[j] * a[k].v[j] * scale;
        below.v[j] = scale * (d[k].v[j] * w.v[j] - a[k].v[j] * shared);
      }
      if (past != nullptr) {
        const Pack<W> more = load(past + start + i);
        #pragma unroll
        for (int j = 0; j < W; j++) below.v[j] += more.v[j];
      }
      store(dx + start + i, below);
    }
  }
  #pragma unroll
  for (int k = 0; k < WITH_WEIGHT * PACKS; k++) {
    const int i = (threadIdx.x + k * blockDim.x) * W;
    if (i >= width) continue;
    #pragma unroll
    for (int j = 0; j < W; j++) dweight[(long long)blockIdx.x * width + i + j] = sums[k][j];
  }
}`
