// What both exchange protocols share: the pending word, publishing, and waits that cannot hang.
#pragma once

namespace sprnn {

// A word of all ones in an exchange slot means "not yet published".
constexpr unsigned kPending = 0xFFFFFFFFu;

// kPending is a NaN in every storage type (one fp32, or two 16-bit columns). A NaN that would
// have its bits is published as another NaN, so NaN flows through and nothing waits forever.
__device__ __forceinline__ unsigned publishable(unsigned word) {
  return word == kPending ? 0x7FFF7FFFu : word;
}

template <int N>
__device__ __forceinline__ bool pending(const Words<N>& words) {
  unsigned largest = words.w[0];  // pending is the largest word there is
#pragma unroll
  for (int i = 1; i < N; ++i) largest = words.w[i] > largest ? words.w[i] : largest;
  return largest == kPending;
}

// status[0] is 0 while all is well; the first block that gives up writes {code, block, step, phase}.
constexpr unsigned kBudgetSpent = 1;

// The budget of one wait. Every failed poll asks `spent()`; the clock and the status word are read
// only at every 64th, so that asking does not slow the polling down.
struct Watch {
  unsigned* status;
  unsigned long long budget_ns;
  int step, phase;
  unsigned polls = 0;
  unsigned long long deadline = 0;

  __device__ Watch(unsigned* status, unsigned long long budget_ns, int step, int phase)
      : status(status), budget_ns(budget_ns), step(step), phase(phase) {}

  __device__ bool spent() {
    if (++polls % 64 != 0) return false;
    if (load_acquire(status) != 0) return true;
    const unsigned long long now = globaltimer_ns();
    if (deadline == 0) deadline = now + budget_ns;
    if (now < deadline) return false;
    if (exchange_first(status, 0, kBudgetSpent) == 0) {
      status[1] = blockIdx.x;
      status[2] = step;
      status[3] = phase;
    }
    return true;
  }
};

// Publishes one column of one position: lanes that hold a position's adjacent columns join those of each
// word, and the words leave side by side. All 32 lanes of the warp must call.
template <class Storage, int WIDTH>
__device__ __forceinline__ void publish(unsigned* slot, int row, int column_in_row, float value,
                                        bool active) {
  constexpr int per_word = Storage::columns_per_word;
  const float next = per_word == 2 ? __shfl_down_sync(0xFFFFFFFFu, value, 1) : 0.0f;
  if (active && column_in_row % per_word == 0) {
    const Words<1> word = {publishable(Storage::encode(value, next))};
    store_relaxed(reinterpret_cast<Words<1>*>(slot) + (row * WIDTH + column_in_row) / per_word, word);
  }
}

}  // namespace sprnn
