// Lamport exchange by the copy engine: it brings runs of a slot into shared memory, and the words that
// came say themselves whether everything was published. Nothing passes through a register.
#pragma once

namespace sprnn {

// One warp's part of a slot: a run of chunks of every group, and the arrival that counts its copies.
template <int GROUPS, int CHUNKS, int PAD>
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
        copy_bulk(to + g * (CHUNKS + PAD), from + g * CHUNKS, length * 16, arrival);
      }
    }
  }

  // Whether no word that was copied is pending; LONGEST chunks are the longest run there is.
  template <int LONGEST>
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
// group. Each of the first COURIERS warps looks after one run, and has it copied again until no word of it
// is pending. It first does what `meanwhile` says and lets FIRST_LOOK cycles go by: warps that have less to do
// look earlier, which spreads the load on L2. False when the watch's budget is spent.
template <int GROUPS, int CHUNKS, int PAD, int COURIERS, int FIRST_LOOK, class Meanwhile>
__device__ __forceinline__ bool collect_bulk(const unsigned* slot, unsigned* operand,
                                             unsigned long long* arrivals, unsigned& parity, int warp,
                                             int lane, Watch watch, Meanwhile meanwhile) {
  // Runs are whole lines of 128 bytes, which is what the copy engine moves fast.
  constexpr int kLine = 8, kLongest = (CHUNKS + COURIERS * kLine - 1) / (COURIERS * kLine) * kLine;
  const int first = warp * kLongest;
  const int length = first + kLongest <= CHUNKS ? kLongest : CHUNKS - first;
  const Run<GROUPS, CHUNKS, PAD> run = {reinterpret_cast<const Words<4>*>(slot) + first,
                                        reinterpret_cast<Words<4>*>(operand) + first, length, arrivals + warp};
  meanwhile();
  if (warp >= COURIERS || length <= 0) return true;
  pause_cycles<FIRST_LOOK>();
  for (;;) {
    run.request();
    wait_for_copies(run.arrival, parity);
    parity ^= 1;
    if (run.template complete<kLongest>(lane)) return true;
    if (__any_sync(0xFFFFFFFFu, watch.spent())) return false;
    SPRNN_SPIN();
  }
}

}  // namespace sprnn
