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
 * A thread owns the columns (threadIdx + k·blockDim)·W, k < PACKS; dweight is [gridDim, width], and made with macro WITH_WEIGHT.
 * What flows into x past the norm (`past`, or null) is added to dx. The next row is on its way while sums over this one are made.
 */
export const RMS_NORM_GRADIENT = `
extern "C" __global__ void __launch_bounds__(THREADS, 1024 / THREADS)
rmsNormGradient(const T* x, const float* weight, const T* dy, const T* past, T* dx, float* dweight, int rows, int width,
                float epsilon) {
  awaitOthers();
  float sums[PACKS][W];
  Stored a[PACKS], d[PACKS], p[PACKS];
  #pragma unroll
  for (int k = 0; k < PACKS; k++) {
    const int i = (threadIdx.x + k * blockDim.x) * W;
    const long long at = (long long)blockIdx.x * width + i;
    #pragma unroll
    for (int j = 0; j < W; j++) sums[k][j] = 0.f;
    if (i >= width) continue;
    a[k] = stored(x + at);
    d[k] = stored(dy + at);
  }
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    const long long start = (long long)row * width, ahead = (long long)gridDim.x * width;
    const bool isLast = row + (int)gridDim.x >= rows;
    Stored nextA[PACKS], nextD[PACKS];
    float squares = 0.f, products = 0.f;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
      const int i = (threadIdx.x + k * blockDim.x) * W;
      if (i >= width) continue;
      if (past != nullptr) p[k] = stored(past + start + i);
      if (!isLast) {
        nextA[k] = stored(x + start + ahead + i);
        nextD[k] = stored(dy + start + ahead + i);
      }
      const Pack<W> w = load(weight + i);
      #pragma unroll
      for (int j = 0; j < W; j++) {
        const float value = wide(a[k].v[j]);
        squares += value * value;
        products += value * wide(d[k].v[j]) * w.v[j];
      }
    }
    const float2 both = blockSums(squares, products);
    const float scale = rsqrtf(both.x / width + epsilon);
    const float shared = both.y * scale * scale / width;
    #pragma unroll
    for (int k = 0; k < PACKS; k++) {
      const int i = (threadIdx.x + k * blockDim.x) * W;
      if (i >= width) continue;
      const Pack<W> w = load(weight + i);
      Pack<W> below;
      #pragma unroll
      for (int j = 0; j < W; j++) {
        const float value = wide(a[k].v[j]), above = wide(d[k].v[j]);
        sums[k][j] += above * value * scale;
        below.v[j] = scale * (above * w.v[j] - value * shared);
        if (past != nullptr) below.v[j] += wide(p[k].v[j]);
      }
      store(dx + start + i, below);
      a[k] = nextA[k];
      d[k] = nextD[k];
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

/** Rows of x [rows, width] added up, 32 columns a block: each warp adds up every warps-th row, the first one their sums. */
export const COLUMN_SUMS = `
extern "C" __global__ void columnSums(const float* x, float* out, int rows, int width) {
  awaitOthers();
  __shared__ float parts[32][32];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  const int column = blockIdx.x * 32 + lane;
  float sum = 0.f;
  if (column < width) {
    #pragma unroll 8
    for (int row = warp; row < rows; row += warps) sum += x[(long long)row * width + column];
  }
  parts[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= width) return;
  for (int i = 1; i < warps; i++) sum += parts[i][lane];
  out[column] = sum;
}`
