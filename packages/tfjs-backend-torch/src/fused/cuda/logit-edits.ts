/** Changes the logits of some ids of each row: logit / or · penalty, then + addend. A block a row; ids are distinct in it. */
export const EDIT_LOGITS = `
extern "C" __global__ void editLogits(float* logits, const int* starts, const int* ids, const float* edits, int width) {
  awaitOthers();
  float* row = logits + (long long)blockIdx.x * width;
  for (int i = starts[blockIdx.x] + threadIdx.x; i < starts[blockIdx.x + 1]; i += blockDim.x) {
    const float logit = row[ids[i]], penalty = edits[2 * i];
    row[ids[i]] = (logit > 0.f ? logit / penalty : logit * penalty) + edits[2 * i + 1];
  }
}`

/** Forbids what a row's list does not hold; an empty list forbids nothing. `open` is filled with −∞. */
export const ALLOW_LOGITS = `
extern "C" __global__ void allowLogits(const float* logits, const int* starts, const int* ids, float* open, int width) {
  awaitOthers();
  const long long start = (long long)blockIdx.x * width;
  const int first = starts[blockIdx.x], end = starts[blockIdx.x + 1];
  if (first == end) for (int i = threadIdx.x; i < width; i += blockDim.x) open[start + i] = logits[start + i];
  for (int i = first + threadIdx.x; i < end; i += blockDim.x) open[start + ids[i]] = logits[start + ids[i]];
}`
