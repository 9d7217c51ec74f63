// The counter barrier over several devices: a block counts itself in everywhere, and waits at home.
#pragma once

namespace sprnn {

// As with one counter, `own`, which is that of this device among `counters`.
template <int DEVICES, class Meanwhile>
__device__ __forceinline__ bool wait_for_all_blocks(unsigned* const (&counters)[DEVICES], unsigned* own,
                                                    unsigned arrivals, Watch watch, Meanwhile meanwhile) {
  if (threadIdx.x == 0) {
    for (unsigned* counter : counters) {
      if (counter != own) arrive_release(counter);
    }
  }
  return wait_for_all_blocks(own, arrivals, watch, meanwhile);
}

}  // namespace sprnn
