// Lamport exchange: the data itself says that it is ready, so there is no barrier between blocks.
#pragma once

namespace sprnn {

// Copies a slot of GROUPS x CHUNKS chunks of N words into shared memory, where PAD chunks follow
// each group, polling each chunk until all of its words are published. IN_FLIGHT polls of a thread
// overlap. False when the watch's budget is spent.
template <int GROUPS, int CHUNKS, int PAD, int N, int IN_FLIGHT>
__device__ __forceinline__ bool collect_lamport(const unsigned* slot, unsigned* operand, Watch watch) {
  const Words<N>* from = reinterpret_cast<const Words<N>*>(slot);
  Words<N>* to = reinterpret_cast<Words<N>*>(operand);
  for (int first = threadIdx.x; first < GROUPS * CHUNKS; first += IN_FLIGHT * blockDim.x) {
    Words<N> chunk[IN_FLIGHT];
#pragma unroll
    for (int i = 0; i < IN_FLIGHT; ++i) {
      const int at = first + i * blockDim.x;
      if (at < GROUPS * CHUNKS) chunk[i] = load_relaxed(from + at);
    }
#pragma unroll
    for (int i = 0; i < IN_FLIGHT; ++i) {
      const int at = first + i * blockDim.x;
      if (at >= GROUPS * CHUNKS) break;
      while (pending(chunk[i])) {
        if (watch.spent()) return false;
        SPRNN_SPIN();
        chunk[i] = load_relaxed(from + at);
      }
      to[GROUPS == 1 ? at : at + at / CHUNKS * PAD] = chunk[i];
    }
  }
  return true;
}

}  // namespace sprnn
