/**
 * Top-k, top-p and their border: the largest logits down to it are kept. It is found digit by digit of the logits'
 * order-preserving bits; masses are added up as whole numbers of 2⁻⁴⁰, so that the sum does not depend on the order.
 */
export const SAMPLING_FILTERS = `
#define WARPS (THREADS / 32)
#define TILE (THREADS * W)
#define INFINITE __int_as_float(0x7f800000)
#define NOT_A_NUMBER __int_as_float(0x7fc00000)
typedef unsigned long long Mass;
struct Border { unsigned key, equals; };

__device__ inline unsigned orderOf(float x) {
  const unsigned bits = __float_as_uint(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline float valueOf(unsigned key) { return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key); }

/** Sum of what the threads before this one hold; \`total\` gets the sum of all. */
template <typename S> __device__ inline S before(S x, S* total) {
  __shared__ S sums[33];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  S inclusive = x;
  for (int step = 1; step < 32; step <<= 1) {
    const S other = __shfl_up_sync(0xffffffffu, inclusive, step);
    if (lane >= step) inclusive += other;
  }
  __syncthreads();
  if (lane == 31) sums[warp] = inclusive;
  __syncthreads();
  if (warp == 0) {
    S own = lane < WARPS ? sums[lane] : (S)0, running = own;
    for (int step = 1; step < 32; step <<= 1) {
      const S other = __shfl_up_sync(0xffffffffu, running, step);
      if (lane >= step) running += other;
    }
    if (lane < WARPS) sums[lane] = running - own;
    if (lane == 31) sums[WARPS] = running;
  }
  __syncthreads();
  *total = sums[WARPS];
  return sums[warp] + inclusive - x;
}

__device__ inline float blockMost(float x) {
  __shared__ float parts[33];
  for (int step = 16; step > 0; step >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  __syncthreads();
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = x;
  __syncthreads();
  float most = parts[0];
  for (int i = 1; i < (blockDim.x >> 5); i++) most = fmaxf(most, parts[i]);
  __syncthreads();
  return most;
}

struct Row {
  const T* policy;
  const float* shaped;
  int width;
  float top, inverse;
  __device__ Pack<W> at(int i) const { return shaped == nullptr ? load(policy + i) : load(shaped + i); }
  __device__ float weight(float z) const { return expf((z - top) * inverse); }
  __device__ Mass mass(float z) const { return (Mass)(weight(z) * 1099511627776.0); }
};

/** The border of the fewest largest logits whose number, or mass, is at least \`need\`; none below \`outer\` are looked at. */
__device__ Border borderOf(const Row& row, Border outer, Mass need, bool byMass) {
  __shared__ Mass sums[256];
  __shared__ unsigned chosen;
  __shared__ Mass rest;
  unsigned prefix = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < 256; i += blockDim.x) sums[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x * W; i < row.width; i += TILE) {
      const Pack<W> z = row.at(i);
      #pragma unroll
      for (int j = 0; j < W; j++) {
        const unsigned key = orderOf(z.v[j]);
        if (key < outer.key || (shift < 24 && (key >> (shift + 8)) != prefix)) continue;
        atomicAdd(&sums[(key >> shift) & 255u], byMass ? row.mass(z.v[j]) : 1ull);
      }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      Mass left = shift == 24 ? need : rest;
      unsigned last = 0;
      int digit = 255;
      for (; digit >= 0; digit--) {
        if (sums[digit] == 0) continue;
        last = digit;
        if (left <= sums[digit]) break;
        left -= sums[digit];
      }
      // where rounding lets even all of them miss the need, the lowest is the border
      if (digit < 0) left = sums[last];
      chosen = digit < 0 ? last : digit;
      rest = left;
    }
    __syncthreads();
    prefix = (prefix << 8) | chosen;
  }
  const Mass one = byMass ? row.mass(valueOf(prefix)) : 1ull;
  Mass equals = one == 0 ? 1 : (rest + one - 1) / one;
  if (equals < 1) equals = 1;
  if (prefix == outer.key && equals > outer.equals) equals = outer.equals;
  __syncthreads();
  return {prefix, equals > 0xffffffffull ? 0xffffffffu : (unsigned)equals};
}

/** Mass inside the border, and how many logits lie on it. */
__device__ Mass massInside(const Row& row, Border border, int* onBorder) {
  Mass sum = 0;
  int equal = 0;
  for (int i = threadIdx.x * W; i < row.width; i += TILE) {
    const Pack<W> z = row.at(i);
    #pragma unroll
    for (int j = 0; j < W; j++) {
      const unsigned key = orderOf(z.v[j]);
      if (key > border.key) sum += row.mass(z.v[j]);
      if (key == border.key) equal++;
    }
  }
  Mass above;
  before(sum, &above);
  before(equal, onBorder);
  const Mass kept = min((unsigned)*onBorder, border.equals);
  return above + (kept == 0 ? 0 : kept * row.mass(valueOf(border.key)));
}`
