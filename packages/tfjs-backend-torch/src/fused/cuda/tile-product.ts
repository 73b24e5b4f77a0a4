import { SQUARE_BYTES, TENSOR_CORES, times } from "./tensor-cores.ts"

const [TILE_ROWS, TILE_COLUMNS, DEPTH, STAGES] = [128, 256, 64, 4]
const STAGE_BYTES = (TILE_ROWS + TILE_COLUMNS) * DEPTH * 2
const BOX_BYTES = SQUARE_BYTES
/** Registers of a thread that hold its part of a tile: [32][4]. */
const SUMS = 128

const wgmma = `
      "{\\n.reg .pred p;\\nsetp.ne.b32 p, %${SUMS + 2}, 0;\\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {${times(SUMS, (i) => `%${i}`)}}, "
      "%${SUMS}, %${SUMS + 1}, p, 1, 1, 0, %${SUMS + 3};\\n}"
      : ${times(SUMS, (i) => `"+f"(sums[${Math.floor(i / 4)}][${i % 4}])`)}
      : "l"(x), "l"(w), "r"(adds), "n"(ACROSS)`

/** Bytes of shared memory that kernels over tiles are launched with: stages, what is on its way out, barriers, room to align. */
export const TILE_SHARED_BYTES = STAGES * STAGE_BYTES + 4 * BOX_BYTES + 2 * STAGES * 8 + 1024

/** Threads of a block: a group that copies in and two that multiply. */
export const TILE_THREADS = 3 * 128

/**
 * Products x·Wᵀ by the tensor cores and copy engines of compute capability 9.0, and what is done with a tile's sums before they go
 * to memory. Blocks take tiles of 128 × 256 until none is left, two on rows beside each other at a time, each of which copies half
 * of their weights to both. The threads of one group copy x [128, 64] and W [256, 64] into a ring of stages, two others multiply 64
 * rows each. ACROSS is 1 where W lies transposed, [I, O].
 */
export const TILE_PRODUCT = `${TENSOR_CORES}
constexpr int TILE_ROWS = ${TILE_ROWS}, TILE_COLUMNS = ${TILE_COLUMNS}, DEPTH = ${DEPTH}, STAGES = ${STAGES}, BESIDE = 8;
constexpr int STAGE_BYTES = ${STAGE_BYTES}, X_BYTES = TILE_ROWS * DEPTH * 2, BOX_BYTES = ${BOX_BYTES};

__device__ inline void arriveAt(Barrier* b, int block) {
  asm volatile(
      "{\\n.reg .b32 r;\\nmapa.shared::cluster.u32 r, %0, %1;\\nmbarrier.arrive.shared::cluster.b64 _, [r];\\n}" ::"r"(shared(b)),
      "r"(block) : "memory");
}
/** The same as copyIn to both blocks, at the same place in each. */
__device__ inline void copyInBoth(const TensorMap& map, void* to, Barrier* b, int column, int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(
          shared(to)), "l"(&map), "r"(shared(b)), "r"(column), "r"(row), "h"((unsigned short)3) : "memory");
}
__device__ inline void copyOut(const TensorMap& map, const void* from, int column, int row) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];\\n"
               "cp.async.bulk.commit_group;" ::"l"(&map), "r"(shared(from)), "r"(column), "r"(row) : "memory");
}

__device__ inline void multiply(float (&sums)[32][4], unsigned long long x, unsigned long long w, int adds) {
  asm volatile(${wgmma});
}

/** What a block has in shared memory. */
struct Room {
  unsigned char *stages, *boxes;
  Barrier *full, *empty;
  __device__ explicit Room(unsigned char* raw) {
    stages = aligned(raw);
    boxes = stages + STAGES * STAGE_BYTES;
    full = (Barrier*)(boxes + 4 * BOX_BYTES);
    empty = full + STAGES;
  }
};

/** The group of 64 rows of a tile that a thread's registers belong to. */
struct Group {
  int index, thread;
  unsigned char* boxes;
  int sent;
  __device__ void meet() const { asm volatile("bar.sync %0, 128;" ::"r"(index + 1) : "memory"); }
  /** The place of a thread's part of 16 columns in a box of 64 × 64. */
  __device__ unsigned placeOf(int columns) const {
    const int lane = thread % 32, row = thread / 32 * 16 + lane % 16;
    return row * 128 + (((columns * 2 + lane / 16) ^ (row & 7)) << 4);
  }
  /** Puts 64 columns, as pairs of bfloat16, to memory. */
  __device__ void put(const unsigned (&pairs)[16], const TensorMap& map, int column, int row) {
    unsigned char* box = boxes + sent++ % 2 * BOX_BYTES;
    if (thread == 0) asm volatile("cp.async.bulk.wait_group.read 1;" ::: "memory");
    meet();
    #pragma unroll
    for (int i = 0; i < 4; i++) {
      asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared(box) + placeOf(i)),
                   "r"(pairs[4 * i]), "r"(pairs[4 * i + 1]), "r"(pairs[4 * i + 2]), "r"(pairs[4 * i + 3]) : "memory");
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    meet();
    if (thread == 0) copyOut(map, box, column, row + index * 64);
  }
};

/**
 * The tiles of a block. 'copyWeights(to, barrier, column, k, half)' copies this block's half of W to both; 'copyMore(to, barrier,
 * column, row, i)' copies what the end of a tile reads, of MORE times MORE_BYTES; 'finish(sums, group, column, row, next)' has the
 * sums, and by 'next(use)' each of those in turn.
 */
template <int MORE, int MORE_BYTES, typename CopyWeights, typename CopyMore, typename Finish>
__device__ inline void forTiles(const TensorMap& mapX, int rows, int columns, int depth, CopyWeights copyWeights, CopyMore copyMore,
                                Finish finish) {
  extern __shared__ unsigned char raw[];
  const Room room(raw);
  int half;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(half));
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++) {
      begin(room.full + i, 1);
      begin(room.empty + i, 4);
    }
    asm volatile("fence.mbarrier_init.release.cluster;");
  }
  asm volatile("barrier.cluster.arrive.aligned;\\nbarrier.cluster.wait.aligned;" ::: "memory");
  awaitOthers();
  const int high = (rows + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS), wide = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
  const int steps = (depth + DEPTH - 1) / DEPTH;
  // some rows of tiles at a time, so that what they read stays in the cache
  const auto forEach = [&](auto body) {
    for (int tile = blockIdx.x / 2; tile < high * wide; tile += gridDim.x / 2) {
      const int first = tile / (BESIDE * wide) * BESIDE, inside = tile % (BESIDE * wide), beside = min(BESIDE, high - first);
      body(((first + inside % beside) * 2 + half) * TILE_ROWS, inside / beside * TILE_COLUMNS);
    }
  };
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x == 0) {
      Turn<STAGES> turn{0, 1};
      forEach([&](int row, int column) {
        for (int k = 0; k < steps; k++, turn.next()) {
          Barrier* full = room.full + turn.stage;
          unsigned char* to = room.stages + turn.stage * STAGE_BYTES;
          await(room.empty + turn.stage, turn.parity);
          expect(full, STAGE_BYTES);
          copyIn(mapX, to, full, k * DEPTH, row);
          copyWeights(to + X_BYTES, full, column, k * DEPTH, half);
        }
        for (int i = 0; i < MORE; i++, turn.next()) {
          await(room.empty + turn.stage, turn.parity);
          expect(room.full + turn.stage, MORE_BYTES);
          copyMore(room.stages + turn.stage * STAGE_BYTES, room.full + turn.stage, column, row, i);
        }
      });
      // the other block may still arrive here
      for (int i = 0; i < STAGES; i++, turn.next()) await(room.empty + turn.stage, turn.parity);
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    const int index = threadIdx.x / 128 - 1, thread = threadIdx.x % 128;
    Group group{index, thread, room.boxes + index * 2 * BOX_BYTES, 0};
    Turn<STAGES> turn{0, 0};
    float sums[32][4];
    const auto release = [&](int stage) { if (thread < 2) arriveAt(room.empty + stage, thread); };
    forEach([&](int row, int column) {
      int before = -1;
      for (int k = 0; k < steps; k++, turn.next()) {
        await(room.full + turn.stage, turn.parity);
        const unsigned x = shared(room.stages + turn.stage * STAGE_BYTES) + index * 8192;
        const unsigned w = shared(room.stages + turn.stage * STAGE_BYTES + X_BYTES);
        beginProducts();
        #pragma unroll
        for (int i = 0; i < DEPTH / 16; i++) {
          multiply(sums, columnsAt(x, i), ACROSS ? rowsAt(w, i) : columnsAt(w, i), k + i > 0);
        }
        endProducts();
        asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
        if (before >= 0) release(before);
        before = turn.stage;
      }
      asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
      release(before);
      finish(sums, group, column, row, [&](auto use) {
        await(room.full + turn.stage, turn.parity);
        use(shared(room.stages + turn.stage * STAGE_BYTES) + index * BOX_BYTES);
        group.meet();
        release(turn.stage);
        turn.next();
      });
    });
    if (thread == 0) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
  }
  asm volatile("barrier.cluster.arrive.aligned;\\nbarrier.cluster.wait.aligned;" ::: "memory");
}
`
