/**
 * The `size` numbers that 4-bit codes stand for, eight a thread: a word of codes in, a pack out. The products that make a
 * scale are not fused with its sum, so that it is the host's to the bit. Macro LEVELS: the 16 numbers of the codes.
 */
export const UNFOLD_NF4 = `
__device__ const float levels[16] = {LEVELS};
extern "C" __global__ void unfoldNf4(const unsigned* codes, const signed char* scales, const float* outer,
                                     T* out, float mean, long long size) {
  __shared__ float level[16];
  if (threadIdx.x < 16) level[threadIdx.x] = levels[threadIdx.x];
  __syncthreads();
  awaitOthers();
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  const long long at = 8 * i, block = i / 8;
  if (at >= size) return;
  const unsigned word = codes[i];
  const float scale = __fadd_rn(__fmul_rn((float)scales[block], outer[block / 256]), mean);
  Pack<W> x;
  #pragma unroll
  for (int j = 0; j < 8; j++) x.v[j] = level[(word >> (4 * j)) & 15] * scale;
  if (at + 8 <= size) return store(out + at, x);
  for (int j = 0; at + j < size; j++) Memory<1>::store(out + at + j, Pack<1>{{x.v[j]}});
}`
