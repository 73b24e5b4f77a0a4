/**
 * What the kernels of single queries over pages share: which keys a block takes, and how running softmaxes become one. A
 * running softmax of a query is D mixed values, its highest score and the sum of its weights, one after another.
 */
export const PAGED_PARTS = `
struct Part { bool isSingle; int row, head, from, to; long long token; };
/** A block's row, key head and keys [from, to); rows with another number of queries than one are left alone. */
__device__ inline Part partOf(const int* spans, int rows, int keyHeads, int splits, int splitLength, int window) {
  const int split = blockIdx.x % splits, unit = blockIdx.x / splits, row = unit / keyHeads;
  const int length = spans[2 * rows + row];
  const int from = (window > 0 && length > window ? length - window : 0) + split * splitLength;
  return {spans[rows + row] == 1, row, unit % keyHeads, from, min(length, from + splitLength), spans[row]};
}
struct Merged { float value, total, top; };
/** Number c of \`count\` running softmaxes that begin every \`step\` numbers. */
__device__ inline Merged mergedAt(const float* first, long long step, int count, int c) {
  Merged m = {0.f, 0.f, -3.0e38f};
  for (int n = 0; n < count; n++) m.top = fmaxf(m.top, first[n * step + D]);
  for (int n = 0; n < count; n++) {
    const float factor = __expf(first[n * step + D] - m.top);
    m.total += factor * first[n * step + D + 1];
    m.value += factor * first[n * step + c];
  }
  return m;
}
/** The G results of a block's key head from [count][queries][D + 2] softmaxes, or their parts where the keys are split. */
__device__ inline void writePart(const float* all, int queries, int count, int splits, Part part, int keyHeads, T* out,
                                 float* parts) {
  for (int i = threadIdx.x; i < G * D; i += blockDim.x) {
    const int g = i / D, c = i % D;
    const Merged m = mergedAt(all + g * (D + 2), queries * (D + 2), count, c);
    if (splits == 1) {
      Memory<1>::store(out + ((part.token * keyHeads + part.head) * G + g) * D + c, Pack<1>{{m.value / m.total}});
      continue;
    }
    float* to = parts + ((long long)blockIdx.x * G + g) * (D + 2);
    to[c] = m.value;
    if (c == 0) { to[D] = m.top; to[D + 1] = m.total; }
  }
}`
