// The copy engine's exchange of bulk.cuh where a block has products of its own to gather meanwhile.
#pragma once

namespace sprnn {

// As collect_bulk, but every warp calls `products` as soon as its copy is asked for, or at once where it has none.
template <int GROUPS, int CHUNKS, int PAD, int COURIERS, int FIRST_LOOK, class Meanwhile, class Products>
__device__ __forceinline__ bool collect_bulk_joined(const unsigned* slot, unsigned* operand,
                                                    unsigned long long* arrivals, unsigned& parity, int warp,
                                                    int lane, Watch watch, Meanwhile meanwhile, Products products) {
  constexpr int kLine = 8, kLongest = (CHUNKS + COURIERS * kLine - 1) / (COURIERS * kLine) * kLine;
  const int first = warp * kLongest;
  const int length = first + kLongest <= CHUNKS ? kLongest : CHUNKS - first;
  const Run<GROUPS, CHUNKS, PAD> run = {reinterpret_cast<const Words<4>*>(slot) + first,
                                        reinterpret_cast<Words<4>*>(operand) + first, length, arrivals + warp};
  meanwhile();
  const bool courier = warp < COURIERS && length > 0;
  if (courier) pause_cycles<FIRST_LOOK>();
  for (unsigned asked = 0;;) {
    if (courier) run.request();
    opaque(asked);  // one place in the code that asks, and one that gathers: not a first turn of its own
    if (asked == 0) products();
    asked = 1;
    if (!courier) return true;
    wait_for_copies(run.arrival, parity);
    parity ^= 1;
    if (run.template complete<kLongest>(lane)) return true;
    if (__any_sync(0xFFFFFFFFu, watch.spent())) return false;
    SPRNN_SPIN();
  }
}

}  // namespace sprnn
