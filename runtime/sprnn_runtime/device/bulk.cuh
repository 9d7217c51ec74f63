// Lamport exchange by the copy engine: it brings runs of a slot into shared memory, and the words that
// came say themselves whether everything was published. Nothing passes through a register.
#pragma once

namespace sprnn {

// One warp's part of a slot: a run of at most LONGEST chunks of every group, copied COPY chunks at a time, and the
// arrival that counts the copies.
template <int GROUPS, int CHUNKS, int PAD, int LONGEST, int COPY>
struct Run {
  const Words<4>* from;
  Words<4>* to;
  int length;
  unsigned long long* arrival;

  // Has the run copied; one lane asks, for all groups at once. Its lanes must not part here: they wait together.
  __device__ __forceinline__ void request() const {
    if (elect_lane()) {
      expect_bytes(arrival, GROUPS * length * 16);
#pragma unroll
      for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
        for (int first = 0; first < LONGEST; first += COPY) {
          const int chunks = length - first < COPY ? length - first : COPY;
          if (chunks > 0) copy_bulk(to + g * (CHUNKS + PAD) + first, from + g * CHUNKS + first, chunks * 16, arrival);
        }
      }
    }
  }

  // Whether no word that was copied is pending.
  __device__ __forceinline__ bool complete(int lane) const {
    bool missing = false;
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
      for (int first = 0; first < LONGEST; first += 32) {
        const int at = first + lane;
        missing |= at < length && pending(to[g * (CHUNKS + PAD) + at]);
      }
    }
    return !__any_sync(0xFFFFFFFFu, missing);
  }
};

// Copies a slot of GROUPS x CHUNKS chunks of 16 bytes into shared memory, where PAD chunks follow each
// group. The warps that are given a `courier` number from 0 on look after a run of RUN chunks each, and have it
// copied again until no word of it is pending. Every warp first does what `meanwhile` says and lets FIRST_LOOK cycles go by: those that have less
// to do look earlier, which spreads the load on L2. False when the watch's budget is spent.
template <int GROUPS, int CHUNKS, int PAD, int RUN, int COPY, int FIRST_LOOK, class Meanwhile>
__device__ __forceinline__ bool collect_bulk(const unsigned* slot, unsigned* operand,
                                             unsigned long long* arrivals, unsigned& parity, int courier,
                                             int lane, Watch watch, Meanwhile meanwhile) {
  const int first = courier * RUN;
  const int length = first + RUN <= CHUNKS ? RUN : CHUNKS - first;
  const Run<GROUPS, CHUNKS, PAD, RUN, COPY> run = {reinterpret_cast<const Words<4>*>(slot) + first,
                                                   reinterpret_cast<Words<4>*>(operand) + first, length,
                                                   arrivals + courier};
  meanwhile();
  if (courier < 0 || length <= 0) return true;
  pause_cycles<FIRST_LOOK>();
  for (;;) {
    run.request();
    wait_for_copies(run.arrival, parity);
    parity ^= 1;
    if (run.complete(lane)) return true;
    if (__any_sync(0xFFFFFFFFu, watch.spent())) return false;
    SPRNN_SPIN();
  }
}

}  // namespace sprnn
