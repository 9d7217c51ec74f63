// Counter barrier: every block counts itself in with release and waits for all with acquire.
// The paper's baseline, and a cross-check of the Lamport exchange.
#pragma once

namespace sprnn {

// Arrives for this block and waits until `arrivals` arrivals are counted since the launch; one
// thread polls, and all do first what `meanwhile` says. The caller has a barrier of the block on both sides:
// before, so that the release covers what every thread published; after, so that no thread reads too early.
template <class Meanwhile>
__device__ __forceinline__ bool wait_for_all_blocks(unsigned* counter, unsigned arrivals, Watch watch,
                                                    Meanwhile meanwhile) {
  if (threadIdx.x == 0) arrive_release(counter);
  meanwhile();
  if (threadIdx.x != 0) return true;
  while (load_acquire(counter) < arrivals) {
    if (watch.spent()) return false;
    SPRNN_SPIN();
  }
  return true;
}

// Copies a complete slot of GROUPS x CHUNKS chunks of N words into shared memory, where PAD chunks
// follow each group. The loads are relaxed at gpu scope, because an ordinary load could be served by
// a stale line of this SM's L1.
template <int GROUPS, int CHUNKS, int PAD, int N>
__device__ __forceinline__ void collect_complete(const unsigned* slot, unsigned* operand) {
  const Words<N>* from = reinterpret_cast<const Words<N>*>(slot);
  Words<N>* to = reinterpret_cast<Words<N>*>(operand);
  for (int at = threadIdx.x; at < GROUPS * CHUNKS; at += blockDim.x) {
    to[at + at / CHUNKS * PAD] = load_relaxed(from + at);
  }
}

}  // namespace sprnn
