import { ACTIVATIONS } from "./elementwise.ts"
import { TILE_PRODUCT } from "./tile-product.ts"

/** Two numbers' activations at a time; those of silu share a reciprocal, which the units for such functions are slow to make. */
const PAIRS = `${ACTIVATIONS}
struct Slopes { Slope a, b; };
__device__ inline Slopes siluPair(float x, float y) {
  const float a = 1.f + __expf(fminf(-x, 40.f)), b = 1.f + __expf(fminf(-y, 40.f));
  float both;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(both) : "f"(a * b));
  const float s = both * b, t = both * a, u = x * s, v = y * t;
  return {{u, s + u * (1.f - s)}, {v, t + v * (1.f - t)}};
}
__device__ inline Slopes geluPair(float x, float y) { return {gelu(x), gelu(y)}; }
__device__ inline Slopes gelu_tanhPair(float x, float y) { return {gelu_tanh(x), gelu_tanh(y)}; }
`

/**
 * act(x·gateᵀ)·(x·upᵀ) [N, F]; WITH_SLOPES, what the gradient multiplies by beside it, [N, 2F]: that of up is the activation, that of
 * gate the activation's slope times up. A tile is 128 columns of each.
 */
export const GATED_PRODUCT = `${PAIRS}${TILE_PRODUCT}
extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)
gatedProduct(const __grid_constant__ TensorMap mapX, const __grid_constant__ TensorMap mapGate, const __grid_constant__ TensorMap mapUp,
             const __grid_constant__ TensorMap mapOut, const __grid_constant__ TensorMap mapSlopes, int rows, int width, int depth) {
  forTiles<0, 0>(
      mapX, rows, 2 * width, depth,
      [&](unsigned char* to, Barrier* full, int column, int k, int half) {
        copyInBoth(half == 0 ? mapGate : mapUp, to + half * BOX_BYTES * 2, full, k, column / 2);
      },
      [](unsigned char*, Barrier*, int, int, int) {},
      [&](float (&sums)[32][4], Group& group, int column, int row, auto) {
        #pragma unroll
        for (int box = 0; box < 2; box++) {
          unsigned out[16], ofUp[16], ofGate[16];
          #pragma unroll
          for (int i = 0; i < 16; i++) {
            const float *gate = sums[box * 8 + i / 2] + i % 2 * 2, *up = sums[16 + box * 8 + i / 2] + i % 2 * 2;
            const Slopes s = PAIR(gate[0], gate[1]);
            out[i] = narrow2(s.a.value * up[0], s.b.value * up[1]);
            ofUp[i] = narrow2(s.a.value, s.b.value);
            ofGate[i] = narrow2(s.a.slope * up[0], s.b.slope * up[1]);
          }
          const int place = column / 2 + box * 64;
          group.put(out, mapOut, place, row);
          if (!WITH_SLOPES) continue;
          group.put(ofUp, mapSlopes, place, row);
          group.put(ofGate, mapSlopes, width + place, row);
        }
      });
}`

/** [dgate, dup] [N, 2F] of dy [N, D], the layer behind them [D, F] and those slopes. */
export const GATED_SLOPES = `${TILE_PRODUCT}
extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)
gatedSlopes(const __grid_constant__ TensorMap mapDy, const __grid_constant__ TensorMap mapWeight,
            const __grid_constant__ TensorMap mapSlopes, const __grid_constant__ TensorMap mapOut, int rows, int width, int depth) {
  forTiles<4, 4 * BOX_BYTES>(
      mapDy, rows, width, depth,
      [&](unsigned char* to, Barrier* full, int column, int k, int half) {
        for (int i = 2 * half; i < 2 * half + 2; i++) copyInBoth(mapWeight, to + i * BOX_BYTES, full, column + i * 64, k);
      },
      [&](unsigned char* to, Barrier* full, int column, int row, int i) {
        copyIn(mapSlopes, to, full, column + i * 64, row);
        copyIn(mapSlopes, to + 2 * BOX_BYTES, full, width + column + i * 64, row);
      },
      [&](float (&sums)[32][4], Group& group, int column, int row, auto next) {
        #pragma unroll
        for (int box = 0; box < 4; box++) {
          unsigned gate[16], up[16];
          next([&](unsigned slopes) {
            #pragma unroll
            for (int i = 0; i < 4; i++) {
              unsigned ofUp[4], ofGate[4];
              const unsigned place = slopes + group.placeOf(i);
              asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                           : "=r"(ofUp[0]), "=r"(ofUp[1]), "=r"(ofUp[2]), "=r"(ofUp[3]) : "r"(place) : "memory");
              asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                           : "=r"(ofGate[0]), "=r"(ofGate[1]), "=r"(ofGate[2]), "=r"(ofGate[3]) : "r"(place + 2 * BOX_BYTES) : "memory");
              #pragma unroll
              for (int j = 0; j < 4; j++) {
                const float *dy = sums[box * 8 + i * 2 + j / 2] + j % 2 * 2;
                gate[i * 4 + j] = narrow2(dy[0] * __uint_as_float(ofGate[j] << 16), dy[1] * __uint_as_float(ofGate[j] & 0xffff0000u));
                up[i * 4 + j] = narrow2(dy[0] * __uint_as_float(ofUp[j] << 16), dy[1] * __uint_as_float(ofUp[j] & 0xffff0000u));
              }
            }
          });
          group.put(gate, mapOut, column + box * 64, row);
          group.put(up, mapOut, width + column + box * 64, row);
        }
      });
}`
