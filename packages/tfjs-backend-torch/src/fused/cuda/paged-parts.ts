/**
 * What the kernels of attention over pages share: which queries and keys a block takes, and how running softmaxes become one.
 * A running softmax of a query is D mixed values, its highest score and the sum of its weights, one after another. Where the
 * compiler could round once or twice, the source says which, so that two kernels cannot differ.
 */
export const PAGED_PARTS = `
/** Tokens of one row that a block takes, each with G query heads of one key head, and the keys [0, end) that they may see. */
struct Block { int tokens, row, head, seen, begin, end; long long token; };
/**
 * Without tiles a block takes a row, and leaves it alone (0 tokens) if that has another number of queries than one. A tile is a
 * row and the first of its queries there. Keys are split at multiples of splitLength whatever the row is, so that a token's
 * sums are the same in any company.
 */
__device__ inline Block blockOf(const int* spans, const int* tiles, int most, int rows, int keyHeads, int splits,
                                int splitLength) {
  const int split = blockIdx.x % splits, unit = blockIdx.x / splits, tile = unit / keyHeads;
  const int row = tiles ? tiles[2 * tile] : tile, first = tiles ? tiles[2 * tile + 1] : 0;
  const int count = spans[rows + row], length = spans[2 * rows + row];
  const int tokens = tiles ? min(most, count - first) : count == 1 ? 1 : 0;
  return {tokens, row, unit % keyHeads, length - count + first + 1, split * splitLength, (split + 1) * splitLength,
          (long long)spans[row] + first};
}
/** The first key that a token sees that sees \`length\` but for the window. */
__device__ inline int firstSeen(int length, int window) { return window > 0 ? max(0, length - window) : 0; }
struct Merged { float value, total, top; };
/** Number c of \`count\` running softmaxes that begin every \`step\` numbers. */
__device__ inline Merged mergedAt(const float* first, long long step, int count, int c) {
  Merged m = {0.f, 0.f, -3.0e38f};
  for (int n = 0; n < count; n++) m.top = fmaxf(m.top, first[n * step + D]);
  for (int n = 0; n < count; n++) {
    const float factor = __expf(first[n * step + D] - m.top);
    m.total = __fmaf_rn(factor, first[n * step + D + 1], m.total);
    m.value = __fmaf_rn(factor, first[n * step + c], m.value);
  }
  return m;
}
/** Where results go: [tokens, H, D], and where they are wanted log-normalizers [H, tokens]. */
struct Results { T* out; float* normalizers; long long tokens; };
/** Number c of query head \`query\` of a block's, [tokens][G]. */
__device__ inline void writeResult(const Results& to, const Block& block, int keyHeads, int query, int c, const Merged& m) {
  const long long token = block.token + query / G, head = block.head * G + query % G;
  Memory<1>::store(to.out + (token * keyHeads * G + head) * D + c, Pack<1>{{m.value / m.total}});
  if (to.normalizers && c == 0) to.normalizers[head * to.tokens + token] = m.top + logf(m.total);
}
/** A block's results from [count][queries][D + 2] softmaxes, or their parts where the keys are split. */
__device__ inline void writePart(const float* all, int queries, int count, int splits, const Block& block, int keyHeads,
                                 const Results& to, float* parts) {
  for (int i = threadIdx.x; i < block.tokens * G * D; i += blockDim.x) {
    const int query = i / D, c = i % D;
    const Merged m = mergedAt(all + query * (D + 2), (long long)queries * (D + 2), count, c);
    if (splits == 1) {
      writeResult(to, block, keyHeads, query, c, m);
      continue;
    }
    float* part = parts + ((long long)blockIdx.x * queries + query) * (D + 2);
    part[c] = m.value;
    if (c == 0) { part[D] = m.top; part[D + 1] = m.total; }
  }
}`
