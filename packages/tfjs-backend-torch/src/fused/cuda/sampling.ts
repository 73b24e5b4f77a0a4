import { SAMPLING_FILTERS } from "./sampling-filters.ts"

/**
 * A block of THREADS (512 or 1024) draws a row's token. `shaped` are the logits to draw from, null where they are the policy's own.
 *
 * The filters keep the largest logits down to a border. Then each warp adds up its share of the
 * vocabulary, and the block walks through the one that the uniform number falls into. Where the policy's own distribution is
 * drawn from, those sums are its normalizer, too.
 */
export const SAMPLE_TOKENS = `${SAMPLING_FILTERS}

extern "C" __global__ void __launch_bounds__(THREADS)
sampleTokens(const T* logits, const float* shapedLogits, const float* draws, int* ids, float* samplingLogProbs,
             float* policyLogProbs, int width) {
  awaitOthers();
  const long long start = (long long)blockIdx.x * width;
  const float* draw = draws + 5 * blockIdx.x;
  const float uniform = draw[0], temperature = draw[1], topP = draw[3], minP = draw[4];
  const int topK = (int)draw[2];
  Row row = {logits + start, shapedLogits == nullptr ? nullptr : shapedLogits + start, width, 0.f, 1.f};
  __shared__ int best, chosen, last;
  if (threadIdx.x == 0) { best = 2147483647; chosen = 2147483647; last = -1; }
  float policyMost = -INFINITE, most = -INFINITE;
  int broken = 0, first = 2147483647;
  #pragma unroll 4
  for (int i = threadIdx.x * W; i < width; i += TILE) {
    const Pack<W> z = row.at(i), p = shapedLogits == nullptr ? z : load(row.policy + i);
    #pragma unroll
    for (int j = 0; j < W; j++) {
      if (p.v[j] != p.v[j] || z.v[j] != z.v[j]) broken = 1;
      policyMost = fmaxf(policyMost, p.v[j]);
      if (z.v[j] > most) { most = z.v[j]; first = i + j; }
    }
  }
  const float ownMost = most;
  policyMost = blockMost(policyMost);
  most = blockMost(most);
  if (ownMost == most) atomicMin(&best, first);
  const bool plain = shapedLogits == nullptr && temperature == 1.f && (topK <= 0 || topK >= width) && topP >= 1.f && minP <= 0.f;
  double sum = 0;
  if (!plain) {
    #pragma unroll 4
    for (int i = threadIdx.x * W; i < width; i += TILE) {
      const Pack<W> p = load(row.policy + i);
      #pragma unroll
      for (int j = 0; j < W; j++) sum += expf(p.v[j] - policyMost);
    }
    sum = blockSum(sum);
  }
  float normalizer = policyMost + (float)log(plain ? 1.0 : sum);
  int anyBroken;
  before(broken, &anyBroken);
  const bool nothing = anyBroken > 0 || !isfinite(most) || !isfinite(normalizer);
  if (nothing || temperature == 0.f) {
    if (threadIdx.x != 0) return;
    ids[blockIdx.x] = nothing ? -1 : best;
    samplingLogProbs[blockIdx.x] = nothing ? NOT_A_NUMBER : 0.f;
    policyLogProbs[blockIdx.x] = nothing ? NOT_A_NUMBER : wide(row.policy[best]) - normalizer;
    if (!nothing && !isfinite(policyLogProbs[blockIdx.x])) { ids[blockIdx.x] = -1; samplingLogProbs[blockIdx.x] = NOT_A_NUMBER; }
    return;
  }
  row.top = most;
  row.inverse = 1.f / temperature;
  Border border = {0u, 0xffffffffu};
  int onBorder = 0;
  if (topK > 0 && topK < width) border = borderOf(row, border, (Mass)topK, false);
  if (topP < 1.f) {
    const double mass = (double)massInside(row, border, &onBorder) * topP * (1.0 - 1e-6);
    border = borderOf(row, border, (Mass)ceil(mass), true);
  }
  const float least = minP * (1.f - 1e-6f);
  if (border.key > 0u) massInside(row, border, &onBorder);
  const bool ranked = (unsigned)onBorder > border.equals;
  // weights inside all filters; \`rank\` counts the logits on the border that came before
  const auto kept = [&](float z, unsigned rank) -> double {
    const unsigned key = orderOf(z);
    if (key < border.key || (key == border.key && rank >= border.equals)) return 0.0;
    const float weight = row.weight(z);
    return weight < least ? 0.0 : (double)weight;
  };
  const auto onIt = [&](const Pack<W>& z, int i, int end) {
    int count = 0;
    #pragma unroll
    for (int j = 0; j < W; j++) count += i + j < end && orderOf(z.v[j]) == border.key ? 1 : 0;
    return count;
  };
  const auto read = [&](int i, int end) {
    Pack<W> z;
    #pragma unroll
    for (int j = 0; j < W; j++) z.v[j] = -INFINITE;
    if (i < end) z = row.at(i);
    return z;
  };
  // each warp its share of the row: what lies on the border, then the weights
  __shared__ double sums[WARPS];
  __shared__ int ranks[WARPS];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, part = (width + WARPS * W - 1) / (WARPS * W) * W;
  const int from = min(width, warp * part), to = min(width, from + part);
  if (ranked) {
    int count = 0;
    for (int i = from + lane * W; i < to; i += 32 * W) count += onIt(row.at(i), i, to);
    for (int step = 16; step > 0; step >>= 1) count += __shfl_xor_sync(0xffffffffu, count, step);
    if (lane == 0) ranks[warp] = count;
    __syncthreads();
    if (threadIdx.x == 0) {
      int passed = 0;
      for (int w = 0; w < WARPS; w++) {
        const int own = ranks[w];
        ranks[w] = passed;
        passed += own;
      }
    }
    __syncthreads();
  }
  double own = 0;
  unsigned passed = ranked ? ranks[warp] : 0;
  // where all are kept, the same sum without asking which
  const bool isOpen = border.key == 0u && least <= 0.f;
  if (isOpen) {
    #pragma unroll 4
    for (int i = from + lane * W; i < to; i += 32 * W) {
      const Pack<W> z = row.at(i);
      #pragma unroll
      for (int j = 0; j < W; j++) own += (double)row.weight(z.v[j]);
    }
  }
  for (int i = from + lane * W; !isOpen && i - lane * W < to; i += 32 * W) {
    const Pack<W> z = read(i, to);
    unsigned rank = passed;
    if (ranked) {
      const int count = onIt(z, i, to);
      int inclusive = count;
      for (int step = 1; step < 32; step <<= 1) {
        const int other = __shfl_up_sync(0xffffffffu, inclusive, step);
        if (lane >= step) inclusive += other;
      }
      rank += inclusive - count;
      passed += __shfl_sync(0xffffffffu, inclusive, 31);
    }
    #pragma unroll
    for (int j = 0; j < W; j++) {
      if (i + j >= to) continue;
      own += kept(z.v[j], rank);
      if (ranked && orderOf(z.v[j]) == border.key) rank++;
    }
  }
  for (int step = 16; step > 0; step >>= 1) own += __shfl_xor_sync(0xffffffffu, own, step);
  if (lane == 0) sums[warp] = own;
  __syncthreads();
  double total = 0;
  for (int w = 0; w < WARPS; w++) total += sums[w];
  if (plain) normalizer += (float)log(total);
  const double target = uniform * total;
  double running = 0;
  int hit = -1, lastPart = 0;
  for (int w = 0; w < WARPS && hit < 0; w++) {
    if (sums[w] > 0) lastPart = w;
    if (running + sums[w] > target) hit = w;
    else running += sums[w];
  }
  if (hit < 0) { hit = lastPart; running -= sums[hit]; }
  const int end = min(width, (hit + 1) * part);
  passed = ranked ? ranks[hit] : 0;
  for (int base = hit * part; base < end; base += TILE) {
    const int i = base + threadIdx.x * W;
    const Pack<W> z = read(i, end);
    unsigned rank = passed;
    if (ranked) {
      int all;
      rank += before(onIt(z, i, end), &all);
      passed += all;
    }
    double weights[W], mine = 0, tile;
    #pragma unroll
    for (int j = 0; j < W; j++) {
      weights[j] = i + j < end ? kept(z.v[j], rank) : 0.0;
      if (ranked && i + j < end && orderOf(z.v[j]) == border.key) rank++;
      mine += weights[j];
    }
    double reached = running + before(mine, &tile);
    #pragma unroll
    for (int j = 0; j < W; j++) {
      if (weights[j] == 0.0) continue;
      reached += weights[j];
      atomicMax(&last, i + j);
      if (reached > target) atomicMin(&chosen, i + j);
    }
    running += tile;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  const int id = chosen == 2147483647 ? last : chosen;
  const float logit = shapedLogits == nullptr ? wide(row.policy[id]) : row.shaped[id];
  ids[blockIdx.x] = id;
  samplingLogProbs[blockIdx.x] = (float)((double)(logit - most) * row.inverse - log(total));
  policyLogProbs[blockIdx.x] = wide(row.policy[id]) - normalizer;
}`
