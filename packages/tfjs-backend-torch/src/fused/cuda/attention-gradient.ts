import { ATTENTION_TILES, QUERIES } from "./attention-tiles.ts"
import { SQUARE_PRODUCTS } from "./square-products.ts"
import { SQUARE_BYTES } from "./tensor-cores.ts"

const STAGES = 4
/** Of queries, slopes, or half a block's keys or values. */
const TILE_BYTES = SQUARE_BYTES
const STATISTICS_BYTES = 2 * QUERIES * 4
/** Keys and values; tiles of queries and slopes; two times the slopes of scores; what is known of queries. */
const [AT_VALUES, AT_STAGES] = [2 * TILE_BYTES, 4 * TILE_BYTES]
const AT_SLOPES = AT_STAGES + STAGES * 2 * TILE_BYTES
const AT_STATISTICS = AT_SLOPES + 4 * TILE_BYTES
const AT_BARRIERS = AT_STATISTICS + STAGES * STATISTICS_BYTES

/** Bytes of shared memory that the gradient is launched with: all that, barriers, room to align. */
export const ATTENTION_SHARED_BYTES = AT_BARRIERS + (2 * STAGES + 5) * 8 + 1024

/** Threads of the gradient's blocks: a group that copies in, two of 64 keys each, one that adds up gradients of queries. */
export const ATTENTION_THREADS = 4 * 128

/**
 * dk and dv, and dq added up tile by tile, of causal attention: a block has 128 keys of a head, and goes over the queries behind them
 * of all heads that share it. Two groups of threads make transposed scores and their slopes, 64 keys each, and multiply them from
 * registers by slopes and queries; a third multiplies the slopes, from shared memory, by keys. Keys are turned back where there are
 * angles. Rows of dk and dv begin every `step` numbers. Of equally long rows, the blocks of `together` heads of keys come one after
 * another, so that what they read and add to stays in the cache, and those of the last ones by length, so that all end together. See
 * Shah et al. 2024, https://arxiv.org/abs/2407.08608, for attention by these engines.
 */
export const ATTENTION_GRADIENT = `${SQUARE_PRODUCTS}${ATTENTION_TILES}
constexpr int STAGES = ${STAGES}, TILE_BYTES = ${TILE_BYTES}, STATISTICS_BYTES = ${STATISTICS_BYTES};

__device__ inline void copyStatistics(const float* from, void* to, Barrier* b) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %3, [%2];" ::"r"(shared(to)), "l"(from),
               "r"(shared(b)), "n"(STATISTICS_BYTES) : "memory");
}
__device__ inline void narrow(unsigned (&to)[16], const float (&from)[8][4]) {
  #pragma unroll
  for (int j = 0; j < 16; j++) to[j] = narrow2(from[j / 2][j % 2 * 2], from[j / 2][j % 2 * 2 + 1]);
}

extern "C" __global__ void __launch_bounds__(${ATTENTION_THREADS}, 1)
attentionGradient(const __grid_constant__ TensorMap mapQ, const __grid_constant__ TensorMap mapDy, const __grid_constant__ TensorMap mapK,
                  const __grid_constant__ TensorMap mapV, const float* statistics, const int4* places, const float* cosine,
                  const float* sine, float* sums, bf16* dk, bf16* dv, int rows, int length, int heads, int keyHeads, int together, int step,
                  float scale) {
  extern __shared__ unsigned char raw[];
  unsigned char* room = aligned(raw);
  Barrier *full = (Barrier*)(room + ${AT_BARRIERS}), *empty = full + STAGES, *made = empty + STAGES, *used = made + 2, *begun = used + 2;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++) begin(full + i, 1), begin(empty + i, 8);
    for (int i = 0; i < 2; i++) begin(made + i, 256), begin(used + i, 4);
    begin(begun, 1);
    asm volatile("fence.mbarrier_init.release.cluster;");
  }
  __syncthreads();
  awaitOthers();
  int index = blockIdx.x / keyHeads, keyHead = blockIdx.x % keyHeads;
  if (places == nullptr) {
    const int blocks = (length + KEYS - 1) / KEYS, pairs = rows * keyHeads, parts = max(1, pairs / together - 1);
    const int at = min((int)blockIdx.x / (together * blocks), parts - 1), begin = at * together;
    const int size = at == parts - 1 ? pairs - begin : together, inside = blockIdx.x - begin * blocks, pair = begin + inside % size;
    index = inside / size * rows + pair / keyHeads;
    keyHead = pair % keyHeads;
  }
  const Place place = placeOf(places, index, rows, length);
  const int sharing = heads / keyHeads;
  const int first = place.key / QUERIES, end = (place.length + QUERIES - 1) / QUERIES, steps = sharing * (end - first);
  const int group = threadIdx.x / 128, thread = threadIdx.x % 128, lane = thread % 32, warp = thread / 32;
  const auto forTiles = [&](auto body) {
    for (int head = keyHead * sharing; head < (keyHead + 1) * sharing; head++) {
      for (int tile = first; tile < end; tile++) body(head, tile, (long long)(place.tile + tile) * heads + head);
    }
  };
  if (group == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (thread == 0) {
      expect(begun, 4 * TILE_BYTES);
      for (int i = 0; i < 2; i++) {
        copyIn(mapK, room + i * TILE_BYTES, begun, keyHead * HEAD, place.start + place.key + i * 64);
        copyIn(mapV, room + ${AT_VALUES} + i * TILE_BYTES, begun, keyHead * HEAD, place.start + place.key + i * 64);
      }
      Turn<STAGES> turn{0, 1};
      forTiles([&](int head, int tile, long long at) {
        Barrier* there = full + turn.stage;
        await(empty + turn.stage, turn.parity);
        expect(there, 2 * TILE_BYTES + STATISTICS_BYTES);
        unsigned char* to = room + ${AT_STAGES} + turn.stage * 2 * TILE_BYTES;
        copyIn(mapQ, to, there, head * HEAD, place.start + tile * QUERIES);
        copyIn(mapDy, to + TILE_BYTES, there, head * HEAD, place.start + tile * QUERIES);
        copyStatistics(statistics + at * 2 * QUERIES, room + ${AT_STATISTICS} + turn.stage * STATISTICS_BYTES, there);
        turn.next();
      });
    }
  } else if (group == 3) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 72;");
    float dq[8][4];
    const unsigned keys = shared(room);
    await(begun, 0);
    int i = 0;
    forTiles([&](int, int, long long at) {
      const unsigned slopes = shared(room + ${AT_SLOPES} + i % 2 * 2 * TILE_BYTES);
      await(made + i % 2, i / 2 & 1);
      beginProducts();
      #pragma unroll
      for (int k = 0; k < KEYS / 16; k++) multiply<1, 1>(dq, rowsAt(slopes, k), rowsAt(keys, k), k > 0);
      endProducts();
      awaitProducts<0>(dq);
      if (lane == 0) arrive(used + i % 2);
      // as threads hold them, so that a warp's lie side by side
      float* to = sums + at * QUERIES * HEAD + thread * 4;
      #pragma unroll
      for (int j = 0; j < 8; j++) {
        asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to + j * 512), "f"(dq[j][0]), "f"(dq[j][1]),
                     "f"(dq[j][2]), "f"(dq[j][3]) : "memory");
      }
      i += 1;
    });
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 208;");
    const int part = group - 1, key = place.key + part * 64 + warp * 16 + lane / 4;
    const unsigned keys = shared(room) + part * TILE_BYTES, values = shared(room + ${AT_VALUES}) + part * TILE_BYTES;
    const unsigned line = (part * 64 + warp * 16 + lane % 16) * 128;
    const float scale2 = scale * LOG2_E;
    float p[8][4], dp[8][4], dkSums[8][4], dvSums[8][4];
    unsigned narrowP[16], narrowSlopes[16];
    Turn<STAGES> turn{0, 0};
    int tile = first;
    await(begun, 0);
    for (int i = 0; i < steps; i++) {
      const unsigned queries = shared(room + ${AT_STAGES} + turn.stage * 2 * TILE_BYTES), dy = queries + TILE_BYTES;
      await(full + turn.stage, turn.parity);
      beginProducts();
      #pragma unroll
      for (int k = 0; k < HEAD / 16; k++) multiply<0, 0>(p, columnsAt(keys, k), columnsAt(queries, k), k > 0);
      endProducts();
      #pragma unroll
      for (int k = 0; k < HEAD / 16; k++) multiply<0, 0>(dp, columnsAt(values, k), columnsAt(dy, k), k > 0);
      endProducts();
      awaitProducts<1>(p);
      // those of the stage before have ended, too
      if (i > 0 && lane == 0) arrive(empty + (turn.stage + STAGES - 1) % STAGES);
      const float2* known = (const float2*)(room + ${AT_STATISTICS} + turn.stage * STATISTICS_BYTES) + lane % 4;
      #pragma unroll
      for (int j = 0; j < 8; j++) {
        const float2 normalizer = known[j * 4];
        #pragma unroll
        for (int c = 0; c < 4; c++) p[j][c] = powerOf2(fmaf(p[j][c], scale2, -(c % 2 ? normalizer.y : normalizer.x)));
      }
      if (tile * QUERIES < place.key + KEYS) {
        const int query = tile * QUERIES + 2 * (lane % 4);
        #pragma unroll
        for (int j = 0; j < 8; j++) {
          #pragma unroll
          for (int c = 0; c < 4; c++) if (key + c / 2 * 8 > query + j * 8 + c % 2) p[j][c] = 0.f;
        }
      }
      narrow(narrowP, p);
      beginProducts();
      #pragma unroll
      for (int k = 0; k < QUERIES / 16; k++) multiply<1>(dvSums, narrowP + 4 * k, rowsAt(dy, k), i + k > 0);
      endProducts();
      awaitProducts<1>(dp);
      #pragma unroll
      for (int j = 0; j < 8; j++) {
        const float2 common = known[QUERIES / 2 + j * 4];
        #pragma unroll
        for (int c = 0; c < 4; c++) p[j][c] *= dp[j][c] - (c % 2 ? common.y : common.x);
      }
      narrow(narrowSlopes, p);
      beginProducts();
      #pragma unroll
      for (int k = 0; k < QUERIES / 16; k++) multiply<1>(dkSums, narrowSlopes + 4 * k, rowsAt(queries, k), i + k > 0);
      endProducts();
      await(used + i % 2, (i / 2 & 1) ^ 1);
      const unsigned to = shared(room + ${AT_SLOPES} + i % 2 * 2 * TILE_BYTES) + line;
      #pragma unroll
      for (int k = 0; k < QUERIES / 16; k++) {
        const unsigned* four = narrowSlopes + 4 * k;
        asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to + (((k * 2 + lane / 16) ^ (lane & 7)) << 4)),
                     "r"(four[0]), "r"(four[1]), "r"(four[2]), "r"(four[3]) : "memory");
      }
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
      arrive(made + i % 2);
      turn.next();
      if (++tile == end) tile = first;
    }
    awaitProducts<0>(dkSums);
    awaitProducts<0>(dvSums);
    #pragma unroll
    for (int half = 0; half < 2; half++) {
      if (key + half * 8 >= place.length) continue;
      const long long token = place.start + key + half * 8;
      const int column = 2 * (lane % 4);
      bf16 *toK = dk + token * step + keyHead * HEAD + column, *toV = dv + token * step + keyHead * HEAD + column;
      #pragma unroll
      for (int j = 0; j < 4; j++) {
        const int c = half * 2;
        float2 a = {dkSums[j][c], dkSums[j][c + 1]}, b = {dkSums[j + 4][c], dkSums[j + 4][c + 1]};
        turnBack(a, b, scale, cosine, sine, token * (HEAD / 2) + column + j * 8);
        *(unsigned*)(toK + j * 8) = narrow2(a.x, a.y);
        *(unsigned*)(toK + j * 8 + HEAD / 2) = narrow2(b.x, b.y);
        *(unsigned*)(toV + j * 8) = narrow2(dvSums[j][c], dvSums[j][c + 1]);
        *(unsigned*)(toV + j * 8 + HEAD / 2) = narrow2(dvSums[j + 4][c], dvSums[j + 4][c + 1]);
      }
    }
  }
}`
