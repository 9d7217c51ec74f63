// Lamport exchange by the copy engine: it brings runs of a slot into shared memory, and the words that
// came say themselves whether everything was published. Nothing passes through a register.
#pragma once

namespace sprnn {

// Copies a slot of GROUPS x CHUNKS chunks of 16 bytes into shared memory, where PAD chunks follow each
// group. Each of the first COURIERS warps looks after one run of chunks of every group, and has it
// copied again until no word of it is pending. False when the watch's budget is spent.
template <int GROUPS, int CHUNKS, int PAD, int COURIERS>
__device__ __forceinline__ bool collect_bulk(const unsigned* slot, unsigned* operand,
                                             unsigned long long* arrivals, unsigned& parity, int warp,
                                             int lane, Watch watch) {
  if (warp >= COURIERS) return true;
  // Runs are whole lines of 128 bytes, which is what the copy engine moves fast.
  constexpr int kLine = 8, kRun = (CHUNKS + COURIERS * kLine - 1) / (COURIERS * kLine) * kLine;
  constexpr int kLooks = (kRun + 31) / 32;
  const int first = warp * kRun;
  const int length = first + kRun <= CHUNKS ? kRun : CHUNKS - first;
  if (length <= 0) return true;
  const Words<4>* from = reinterpret_cast<const Words<4>*>(slot) + first;
  Words<4>* to = reinterpret_cast<Words<4>*>(operand) + first;
  for (;;) {
    if (elect_lane()) {
      expect_bytes(arrivals + warp, GROUPS * length * 16);
#pragma unroll
      for (int g = 0; g < GROUPS; ++g) {
        copy_bulk(to + g * (CHUNKS + PAD), from + g * CHUNKS, length * 16, arrivals + warp);
      }
    }
    wait_for_copies(arrivals + warp, parity);
    parity ^= 1;
    bool missing = false;
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
      for (int i = 0; i < kLooks; ++i) {
        const int at = i * 32 + lane;
        missing |= at < length && pending(to[g * (CHUNKS + PAD) + at]);
      }
    }
    if (!__any_sync(0xFFFFFFFFu, missing)) return true;
    if (__any_sync(0xFFFFFFFFu, watch.spent())) return false;
    SPRNN_SPIN();
  }
}

}  // namespace sprnn
