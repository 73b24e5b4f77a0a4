/** `count` operands of an instruction. */
export const times = (count: number, of: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => of(i)).join(", ")

/** Bytes of 64 × 64 bfloat16 numbers. */
export const SQUARE_BYTES = 64 * 64 * 2

/**
 * What kernels by the copy engines and tensor cores of compute capability 9.0 have in common: barriers in shared memory, boxes of
 * matrices that are copied there, and how the tensor cores are told where they lie.
 */
export const TENSOR_CORES = `
constexpr int SQUARE_BYTES = ${SQUARE_BYTES};

struct alignas(64) TensorMap { unsigned long long bits[16]; };

__device__ inline unsigned shared(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

/** From where on lines lie swizzled as they are told. */
__device__ inline unsigned char* aligned(unsigned char* raw) { return (unsigned char*)(((unsigned long long)raw + 1023) & ~1023ull); }

typedef unsigned long long Barrier;
__device__ inline void begin(Barrier* b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared(b)), "r"(arrivals));
}
__device__ inline void await(Barrier* b, int parity) {
  asm volatile(
      "{\\n.reg .pred p;\\nAGAIN: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\\n@p bra DONE;\\nbra AGAIN;\\nDONE:\\n}" ::"r"(
          shared(b)), "r"(parity) : "memory");
}
__device__ inline void expect(Barrier* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared(b)), "r"(bytes) : "memory");
}
__device__ inline void arrive(Barrier* b) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared(b)) : "memory");
}

/** Where in a ring of stages a group of threads is. */
template <int STAGES> struct Turn {
  int stage, parity;
  __device__ void next() { if (++stage == STAGES) stage = 0, parity ^= 1; }
};

/** Copies the box at these coordinates of a matrix, and tells the barrier of its bytes. */
__device__ inline void copyIn(const TensorMap& map, void* to, Barrier* b, int column, int row) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
                   shared(to)), "l"(&map), "r"(shared(b)), "r"(column), "r"(row) : "memory");
}

/** How a matrix lies in shared memory: swizzled lines of 128 bytes, its parts so far apart. */
__device__ inline unsigned long long matrixAt(unsigned address, unsigned leading, unsigned stride) {
  return (unsigned long long)((address & 0x3ffff) >> 4) | (unsigned long long)(leading >> 4) << 16 |
         (unsigned long long)(stride >> 4) << 32 | 1ull << 62;
}
/** 64 × 64 numbers in lines of 128 bytes, from the k-th 16 of their columns, or of their rows, on. */
__device__ inline unsigned long long columnsAt(unsigned tile, int k) { return matrixAt(tile + k * 32, 16, 1024); }
__device__ inline unsigned long long rowsAt(unsigned tile, int k) { return matrixAt(tile + k * 2048, SQUARE_BYTES, 1024); }
__device__ inline void beginProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void endProducts() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
`
