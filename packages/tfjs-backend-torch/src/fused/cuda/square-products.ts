import { TENSOR_CORES, times } from "./tensor-cores.ts"

const SUMS = 32
const sums = times(SUMS, (i) => `"+f"(sums[${Math.floor(i / 4)}][${i % 4}])`)

/** sums [64, 64] (+)= a·b; both in shared memory, or a in registers: `given` are its operands, after which b and the others come. */
const wgmma = (given: string, count: number, name: string, last: string) => `
      "{\\n.reg .pred p;\\nsetp.ne.b32 p, %${SUMS + count + 1}, 0;\\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {${times(SUMS, (i) => `%${i}`)}}, "
      "${name}, %${SUMS + count}, p, 1, 1, ${last};\\n}"
      : ${sums} : ${given}, "l"(b), "r"(adds)`

/**
 * Products of squares of 64 × 64 bfloat16 numbers, 16 of their common axis at a time: TURN says that a factor lies transposed. They are
 * under way from one call to the next, in groups.
 */
export const SQUARE_PRODUCTS = `${TENSOR_CORES}
template <int TURN_A, int TURN_B>
__device__ inline void multiply(float (&sums)[8][4], unsigned long long a, unsigned long long b, int adds) {
  asm volatile(${wgmma('"l"(a)', 1, `%${SUMS}`, `%${SUMS + 3}, %${SUMS + 4}`)}, "n"(TURN_A), "n"(TURN_B));
}
template <int TURN_B>
__device__ inline void multiply(float (&sums)[8][4], const unsigned* a, unsigned long long b, int adds) {
  asm volatile(${wgmma(
    times(4, (i) => `"r"(a[${i}])`),
    4,
    `{${times(4, (i) => `%${SUMS + i}`)}}`,
    `%${SUMS + 6}`
  )}, "n"(TURN_B));
}
/** Waits for all groups of products but the last so many, and has the compiler read these sums after that. */
template <int BUT> __device__ inline void awaitProducts(float (&sums)[8][4]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(BUT) : "memory");
  asm volatile("" : ${sums} :: "memory");
}
`
