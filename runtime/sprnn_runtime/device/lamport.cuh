// Lamport exchange: the data itself says that it is ready, so there is no barrier between blocks.
#pragma once

namespace sprnn {

// IN_FLIGHT chunks of N words that a thread polls at once, a block's threads side by side.
template <int N, int IN_FLIGHT>
struct Polls {
  Words<N> chunk[IN_FLIGHT];

  __device__ __forceinline__ void ask(const Words<N>* from, int first, int end) {
#pragma unroll
    for (int i = 0; i < IN_FLIGHT; ++i) {
      const int at = first + i * blockDim.x;
      if (at < end) chunk[i] = load_relaxed(from + at);
    }
  }

  // Asks on until chunk `i` is published. False when the watch's budget is spent.
  __device__ __forceinline__ bool await(int i, const Words<N>* from, Watch& watch) {
    while (pending(chunk[i])) {
      SPRNN_SPIN();
      chunk[i] = load_relaxed(from);  // the next poll is under way before anything else
      if (watch.spent()) return false;
    }
    return true;
  }
};

// Copies a slot of GROUPS x CHUNKS chunks of N words into shared memory, where PAD chunks follow each
// group, polling each chunk until all of its words are published. Every thread first does what `meanwhile`
// says and lets FIRST_LOOK cycles go by. False when the watch's budget is spent; what was missing then is
// copied as it is.
template <int GROUPS, int CHUNKS, int PAD, int N, int IN_FLIGHT, int FIRST_LOOK, class Meanwhile>
__device__ __forceinline__ bool collect_lamport(const unsigned* slot, unsigned* operand, Watch watch,
                                                Meanwhile meanwhile) {
  constexpr int kEnd = GROUPS * CHUNKS;
  const Words<N>* from = reinterpret_cast<const Words<N>*>(slot);
  Words<N>* to = reinterpret_cast<Words<N>*>(operand);
  meanwhile();
  pause_cycles<FIRST_LOOK>();
  Polls<N, IN_FLIGHT> polls;
  polls.ask(from, threadIdx.x, kEnd);
  bool all = true;
  for (int first = threadIdx.x; first < kEnd;) {
#pragma unroll
    for (int i = 0; i < IN_FLIGHT; ++i) {
      const int at = first + i * blockDim.x;
      if (at < kEnd) {
        all = all && polls.await(i, from + at, watch);
        to[GROUPS == 1 ? at : at + at / CHUNKS * PAD] = polls.chunk[i];
      }
    }
    first += IN_FLIGHT * blockDim.x;
    polls.ask(from, first, kEnd);
  }
  return all;
}

}  // namespace sprnn
