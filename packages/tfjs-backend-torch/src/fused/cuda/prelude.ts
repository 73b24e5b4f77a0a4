/**
 * What every CUDA kernel begins with: 1, 4 or 8 numbers of a row at a time (`Pack<W>`), stored as float32 or bfloat16,
 * computed with as float32. A source names its storage type T and its pack width W by macros.
 */
export const PRELUDE = `
typedef unsigned short bf16;
template <int N> struct Pack { float v[N]; };

__device__ inline float wide(bf16 x) { return __uint_as_float(((unsigned)x) << 16); }
__device__ inline float wide(float x) { return x; }
__device__ inline unsigned narrow2(float low, float high) {
  unsigned bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

/** 2^x by one instruction. */
__device__ inline float powerOf2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/**
 * The first thing a kernel does: it is launched while the one before may still be at work, and waits for its end. From then
 * on the next one may be launched, which waits in the same way.
 */
__device__ inline void awaitOthers() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/** Eight bfloat16 numbers as they lie in memory. */
__device__ inline Pack<8> wide(uint4 raw) {
  const unsigned w[4] = {raw.x, raw.y, raw.z, raw.w};
  Pack<8> x;
  #pragma unroll
  for (int i = 0; i < 4; i++) {
    x.v[2 * i] = __uint_as_float(w[i] << 16);
    x.v[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
  }
  return x;
}

template <int N> struct Memory;
template <> struct Memory<1> {
  template <typename S> __device__ static Pack<1> load(const S* p) { return {{wide(*p)}}; }
  __device__ static void store(float* p, Pack<1> x) { *p = x.v[0]; }
  __device__ static void store(bf16* p, Pack<1> x) { *p = (bf16)narrow2(x.v[0], 0.f); }
};
template <> struct Memory<4> {
  __device__ static Pack<4> load(const float* p) {
    const float4 a = *(const float4*)p;
    return {{a.x, a.y, a.z, a.w}};
  }
  __device__ static Pack<4> load(const bf16* p) {
    const uint2 a = *(const uint2*)p;
    return {{__uint_as_float(a.x << 16), __uint_as_float(a.x & 0xffff0000u), __uint_as_float(a.y << 16),
             __uint_as_float(a.y & 0xffff0000u)}};
  }
  __device__ static void store(float* p, Pack<4> x) { *(float4*)p = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]); }
  __device__ static void store(bf16* p, Pack<4> x) {
    *(uint2*)p = make_uint2(narrow2(x.v[0], x.v[1]), narrow2(x.v[2], x.v[3]));
  }
};
template <> struct Memory<8> {
  __device__ static Pack<8> load(const float* p) {
    const float4 a = ((const float4*)p)[0], b = ((const float4*)p)[1];
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
  }
  __device__ static Pack<8> load(const bf16* p) { return wide(*(const uint4*)p); }
  __device__ static void store(float* p, Pack<8> x) {
    ((float4*)p)[0] = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]);
    ((float4*)p)[1] = make_float4(x.v[4], x.v[5], x.v[6], x.v[7]);
  }
  __device__ static void store(bf16* p, Pack<8> x) {
    *(uint4*)p = make_uint4(narrow2(x.v[0], x.v[1]), narrow2(x.v[2], x.v[3]), narrow2(x.v[4], x.v[5]),
                            narrow2(x.v[6], x.v[7]));
  }
};
/** A pack as it lies in memory: less room than wide. */
struct alignas(sizeof(T) * W < 16 ? sizeof(T) * W : 16) Stored { T v[W]; };
__device__ inline Stored stored(const T* p) { return *(const Stored*)p; }
__device__ inline Pack<W> wide(const Stored& x) {
  Pack<W> all;
  #pragma unroll
  for (int j = 0; j < W; j++) all.v[j] = wide(x.v[j]);
  return all;
}
template <typename S> __device__ inline Pack<W> load(const S* p) { return Memory<W>::load(p); }
template <typename S> __device__ inline void store(S* p, Pack<W> x) { Memory<W>::store(p, x); }

#ifdef MOST_ITEMS
/** Tensors that one launch is about, each of which has the blocks up to its end. */
template <typename Item> struct Items { Item at[MOST_ITEMS]; };

/** The item a block is about, and its place among that one's blocks. */
struct Place { int item, block, blocks; };

template <typename Item> __device__ inline Place placeAmong(const Items<Item>& items, int count) {
  int low = 0, high = count - 1;
  while (low < high) {
    const int middle = (low + high) / 2;
    if ((int)blockIdx.x < items.at[middle].end) high = middle; else low = middle + 1;
  }
  const int begin = low == 0 ? 0 : items.at[low - 1].end;
  return {low, (int)blockIdx.x - begin, items.at[low].end - begin};
}
#endif

/** Two sums over the block, in the same order every time; all threads get them. */
__device__ inline float2 blockSums(float x, float y) {
  __shared__ float2 parts[32];
  for (int step = 16; step > 0; step >>= 1) {
    x += __shfl_xor_sync(0xffffffffu, x, step);
    y += __shfl_xor_sync(0xffffffffu, y, step);
  }
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
  __syncthreads();
  if (lane == 0) parts[warp] = make_float2(x, y);
  __syncthreads();
  float2 total = lane < warps ? parts[lane] : make_float2(0.f, 0.f);
  for (int step = 16; step > 0; step >>= 1) {
    total.x += __shfl_xor_sync(0xffffffffu, total.x, step);
    total.y += __shfl_xor_sync(0xffffffffu, total.y, step);
  }
  return total;
}

/** Sum over the block, in the same order every time; all threads get it. */
template <typename S> __device__ inline S blockSum(S x) {
  __shared__ S parts[33];
  for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
  __syncthreads();
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  if (warp == 0) {
    S total = lane < warps ? parts[lane] : (S)0;
    for (int step = 16; step > 0; step >>= 1) total += __shfl_xor_sync(0xffffffffu, total, step);
    if (lane == 0) parts[32] = total;
  }
  __syncthreads();
  return parts[32];
}
`
