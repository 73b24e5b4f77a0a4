/**
 * A block adds up rows of T in float32, one after another, into a row of O: those that `order` names between begin and
 * end of its triple (begin, end, target), or those rows themselves where there is no order. No two blocks have one target.
 * Macro ADD is 1 where the row's numbers so far count.
 */
export const ROW_SUMS = `
extern "C" __global__ void rowSums(const T* x, const int* order, const int* sums, O* out, int packs) {
  awaitOthers();
  const int begin = sums[3 * blockIdx.x], end = sums[3 * blockIdx.x + 1];
  O* to = out + (long long)sums[3 * blockIdx.x + 2] * packs * W;
  for (int at = threadIdx.x; at < packs; at += blockDim.x) {
    Pack<W> sum = {};
    if (ADD) sum = load(to + at * W);
    #pragma unroll 4
    for (int i = begin; i < end; i++) {
      const long long row = order == nullptr ? i : order[i];
      const Pack<W> a = load(x + (row * packs + at) * W);
      #pragma unroll
      for (int j = 0; j < W; j++) sum.v[j] += a.v[j];
    }
    store(to + at * W, sum);
  }
}`
