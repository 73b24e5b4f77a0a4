/** The ways of tokens to the experts of a mixture, and back: k rows a token, ordered by expert. */

const CHOICE = `
/** Larger ones first, of equal ones that of the lower index; what is not a number is last. */
struct Candidate { float value; int index; };
__device__ inline bool isAhead(Candidate a, Candidate b) {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}
__device__ inline Candidate candidate(const float* row, int index) {
  const float value = row[index];
  return {value == value ? value : -__int_as_float(0x7f800000), index};
}
__device__ inline float warpSum(float x) {
  for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}
`

/** A warp a token: finds the k-th likeliest expert, then writes those that are not behind it in their order. */
export const CHOOSE_EXPERTS = `${CHOICE}
extern "C" __global__ void chooseExperts(const float* probabilities, int* chosen, float* shares, int tokens, int experts,
                                         int k, int renormalised) {
  awaitOthers();
  const int lane = threadIdx.x & 31;
  const int token = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
  if (token >= tokens) return;
  const float* row = probabilities + (long long)token * experts;
  Candidate last = {__int_as_float(0x7f800000), -1};
  for (int pick = 0; pick < k; pick++) {
    Candidate best = {-__int_as_float(0x7f800000), experts};
    for (int e = lane; e < experts; e += 32) {
      const Candidate each = candidate(row, e);
      if (isAhead(last, each) && isAhead(each, best)) best = each;
    }
    for (int step = 16; step > 0; step >>= 1) {
      const Candidate other = {__shfl_xor_sync(0xffffffffu, best.value, step), __shfl_xor_sync(0xffffffffu, best.index, step)};
      if (isAhead(other, best)) best = other;
    }
    last = best;
  }
  int* to = chosen + (long long)token * k;
  float* share = shares + (long long)token * k;
  float sum = 0.f;
  int count = 0;
  for (int first = 0; first < experts; first += 32) {
    const int e = first + lane;
    const bool isMine = e < experts && !isAhead(last, candidate(row, e));
    const unsigned votes = __ballot_sync(0xffffffffu, isMine);
    if (isMine) {
      const int at = count + __popc(votes & ((1u << lane) - 1));
      to[at] = e;
      share[at] = row[e];
      sum += row[e];
    }
    count += __popc(votes);
  }
  if (!renormalised) return;
  sum = warpSum(sum);
  __syncwarp();
  for (int j = lane; j < k; j += 32) share[j] /= sum;
}`

/** A warp a token. */
export const CHOOSE_EXPERTS_GRADIENT = `${CHOICE}
extern "C" __global__ void chooseExpertsGradient(const float* probabilities, const int* chosen, const float* shares,
                                                 const float* dy, float* dx, int tokens, int experts, int k,
                                                 int renormalised) {
  awaitOthers();
  const int lane = threadIdx.x & 31;
  const int token = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
  if (token >= tokens) return;
  const float* row = probabilities + (long long)token * experts;
  float* to = dx + (long long)token * experts;
  const long long from = (long long)token * k;
  for (int e = lane; e < experts; e += 32) to[e] = 0.f;
  float sum = 0.f, shared = 0.f;
  if (renormalised) {
    for (int j = lane; j < k; j += 32) {
      sum += row[chosen[from + j]];
      shared += shares[from + j] * dy[from + j];
    }
    sum = warpSum(sum);
    shared = warpSum(shared);
  } else sum = 1.f;
  __syncwarp();
  for (int j = lane; j < k; j += 32) to[chosen[from + j]] = (dy[from + j] - shared) / sum;
}`

/** A block an expert counts the rows before its own and its own, then writes its own in their order. */
export const EXPERT_ORDER = `
extern "C" __global__ void expertOrder(const int* chosen, int* order, int* places, int* ends, int count) {
  awaitOthers();
  const int expert = blockIdx.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  int before = 0, own = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const int each = chosen[i];
    before += each < expert;
    own += each == expert;
  }
  before = blockSum(before);
  own = blockSum(own);
  const int end = before + own;
  if (threadIdx.x == 0) ends[expert] = end;
  __shared__ int votesOf[32];
  for (int first = 0, next = before; first < count && next < end; first += blockDim.x) {
    const int i = first + threadIdx.x;
    const bool isMine = i < count && chosen[i] == expert;
    const unsigned votes = __ballot_sync(0xffffffffu, isMine);
    if (lane == 0) votesOf[warp] = __popc(votes);
    __syncthreads();
    int at = next;
    for (int w = 0; w < warps; w++) {
      if (w < warp) at += votesOf[w];
      next += votesOf[w];
    }
    if (isMine) {
      at += __popc(votes & ((1u << lane) - 1));
      order[at] = i;
      places[i] = at;
    }
    __syncthreads();
  }
}`

/** Row order[i] / k of x at i, over n packs. */
export const DISPATCH_ROWS = `
extern "C" __global__ void dispatchRows(const T* x, const int* order, T* out, long long n, int packs, int k) {
  awaitOthers();
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= n) return;
  const long long row = i / packs;
  const long long token = order[row] / k;
  store(out + i * W, load(x + (token * packs + (i - row * packs)) * W));
}`

/** The sum of each token's k rows, times their shares where there are any, over n packs. */
export const COLLECT_ROWS = `
extern "C" __global__ void collectRows(const T* y, const int* places, const float* shares, T* out, long long n, int packs,
                                       int k) {
  awaitOthers();
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= n) return;
  const long long token = i / packs, at = i - token * packs;
  Pack<W> sum = {};
  for (int j = 0; j < k; j++) {
    const Pack<W> a = load(y + (places[token * k + j] * (long long)packs + at) * W);
    const float share = shares == nullptr ? 1.f : shares[token * k + j];
    #pragma unroll
    for (int m = 0; m < W; m++) sum.v[m] += share * a.v[m];
  }
  store(out + i * W, sum);
}`

/** A block a row: what reaches it, and what reaches its share. */
export const COLLECT_ROWS_GRADIENT = `
extern "C" __global__ void collectRowsGradient(const T* y, const float* shares, const int* order, const T* dy, T* dx,
                                               float* dshares, int packs, int k) {
  awaitOthers();
  const int from = order[blockIdx.x];
  const float share = shares[from];
  const T* above = dy + (from / k) * (long long)packs * W;
  const long long start = blockIdx.x * (long long)packs * W;
  float product = 0.f;
  for (int i = threadIdx.x * W; i < packs * W; i += blockDim.x * W) {
    const Pack<W> a = load(y + start + i);
    Pack<W> d = load(above + i);
    #pragma unroll
    for (int m = 0; m < W; m++) {
      product += a.v[m] * d.v[m];
      d.v[m] *= share;
    }
    store(dx + start + i, d);
  }
  product = blockSum(product);
  if (threadIdx.x == 0) dshares[from] = product;
}`

/** Zeros for the groups that have no rows: \`blocks\` blocks a group of \`packs\` packs. */
export const CLEAR_GROUPS = `
extern "C" __global__ void clearGroups(const int* ends, T* out, long long packs, int blocks) {
  awaitOthers();
  const int group = blockIdx.x / blocks, block = blockIdx.x - group * blocks;
  if (ends[group] > (group == 0 ? 0 : ends[group - 1])) return;
  const Pack<W> zeros = {};
  for (long long i = block * (long long)blockDim.x + threadIdx.x; i < packs; i += (long long)blocks * blockDim.x)
    store(out + (group * packs + i) * W, zeros);
}`
