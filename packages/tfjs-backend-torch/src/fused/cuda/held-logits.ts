import { SCALE, EACH_PACK, PACK_SLOPES, ROW_STATE } from "./logit-parts.ts"

/** Threads of a block. On an H200 quicker than 256 or 384, with three blocks at a time on a multiprocessor. */
export const HELD_THREADS = 320

/** Bytes of a row that a block may hold for three to be on a multiprocessor at a time. */
const MOST_HELD = 73 * 2 ** 10

/** Blocks to a row, and the bytes that each holds of it; undefined where it is too long. */
export const heldParts = (packs: number, packBytes: number) => {
  const parts = [1, 2, 4, 8].find((count) => Math.ceil(packs / count) * packBytes <= MOST_HELD)
  return parts === undefined ? undefined : { parts, bytes: Math.ceil(packs / parts) * packBytes }
}

/**
 * What `logitStatistics` makes of a row, and where macro WITH_SLOPES is 1 its slopes in place of it, by a cluster of macro
 * PARTS blocks (compute capability 9.0): each holds a part of the row in shared memory, so that it is read once. Macro ROOM is
 * the bytes of a part.
 */
export const HELD_LOGITS = `${SCALE}${EACH_PACK}${PACK_SLOPES}${ROW_STATE}
__device__ inline void clusterArrive() { asm volatile("barrier.cluster.arrive;" ::: "memory"); }
__device__ inline void clusterWait() { asm volatile("barrier.cluster.wait;" ::: "memory"); }

/** The state that lies there in the shared memory of a block of the cluster. */
__device__ inline State stateOf(const State* own, int block) {
  unsigned place, most, sum, product, pack;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(place) : "r"((unsigned)__cvta_generic_to_shared(own)), "r"(block));
  asm volatile("ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(most), "=r"(sum), "=r"(product), "=r"(pack) : "r"(place) : "memory");
  return {__uint_as_float(most), __uint_as_float(sum), __uint_as_float(product), (int)pack};
}

extern "C" __global__ void __cluster_dims__(PARTS, 1, 1) __launch_bounds__(${HELD_THREADS}, 3)
heldLogits(T* logits, const int* targets, float* logProbs, float* entropy, float* correct, float* logNormalizer,
           int width, int step, float temperature, float cap) {
  extern __shared__ uint4 room[];
  alignas(16) __shared__ State own;
  Stored* held = (Stored*)room;
  awaitOthers();
  const int line = blockIdx.x / PARTS, rank = blockIdx.x % PARTS;
  const int packs = (width + W - 1) / W, each = (packs + PARTS - 1) / PARTS;
  const int begin = min(rank * each, packs) * W, end = min(begin + each * W, width), target = targets[line];
  const Scale scale = scaleOf(temperature, cap);
  T* part = logits + (long long)line * step + begin;

  State state = nothing();
  eachPack(part, end - begin, false, [&](const auto& packs, int i, int step) {
    int place = i;
    for (const auto& raw : packs) {
      held[place / W] = raw;
      place += step;
    }
    include(state, packs, begin + i, step, width, scale);
  });
  state = mergedBlock(state, scale);
  if (threadIdx.x == 0) own = state;
  clusterArrive();
  clusterWait();
  const int lane = threadIdx.x & 31;
  state = mergedLanes(lane < PARTS ? stateOf(&own, lane) : nothing(), scale);
  // nobody ends while others may still read its state
  clusterArrive();

#if WITH_SLOPES
  const Norm norm = normOf(state, scale);
  #pragma unroll 4
  for (int i = threadIdx.x * W; i < end - begin; i += blockDim.x * W) {
    store(part + i, packSlopes(wide(held[i / W]), begin + i, target, norm, 1.f, scale));
  }
#endif
  if (threadIdx.x == 0) {
    const T* values = (const T*)held - begin;
    if (rank == 0) {
      entropy[line] = entropyOf(state);
      logNormalizer[line] = logNormalizerOf(state, scale);
    }
    if (target >= begin && target < end) logProbs[line] = logProbOf(wide(values[target]), state, scale);
    // without a number among them nobody has the largest
    if (state.pack < width ? state.pack >= begin && state.pack < end : rank == 0) {
      correct[line] = winnerOf(state, values, state.pack, end) == target ? 1.f : 0.f;
    }
  }
  clusterWait();
}`
