// Several devices of one host: all publish into every device's copy of an exchange, and each waits at its own.
#pragma once

namespace sprnn {

// Publishes to the slot that begins `at` words into the exchange of every device.
template <class Storage, int WIDTH, int DEVICES>
__device__ __forceinline__ void publish(unsigned* const (&exchanges)[DEVICES], size_t at, int row, int column_in_row,
                                        float value, bool active) {
#pragma unroll
  for (int d = 0; d < DEVICES; ++d) publish<Storage, WIDTH>(exchanges[d] + at, row, column_in_row, value, active);
}

// Tells all devices that this block has given up, so that nobody waits for it; blocks count on from device to device.
// `own` is the status of this device.
template <int DEVICES>
__device__ void give_up(unsigned* const (&statuses)[DEVICES], const unsigned* own, int step, int phase) {
  int device = 0;
  while (statuses[device] != own) ++device;
  for (unsigned* status : statuses) {
    if (exchange_first(status, 0, kBudgetSpent) == 0) {
      status[1] = device * gridDim.x + blockIdx.x;
      status[2] = step;
      status[3] = phase;
    }
  }
}

}  // namespace sprnn
