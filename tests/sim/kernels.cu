// Small kernels for the tests of the simulator. The device helpers stand in front of this text.

using namespace sprnn;

constexpr int kThreads = 64;
constexpr int kBlocks = 4;
constexpr int kWidth = 4;  // adjacent columns that one store publishes

// Every block gives its vector to the block on its right: v = v / 2 + left / 4. Block `silent`
// (-1 for none) publishes nothing in step 2.
template <class Storage>
__device__ void ring(float* values, unsigned* slots, unsigned* status, int steps, int silent,
                     unsigned long long budget_ns) {
  constexpr int per_word = Storage::columns_per_word;
  constexpr int words = kThreads / per_word;
  SPRNN_DYNAMIC_SHARED(shared);
  unsigned* operand = reinterpret_cast<unsigned*>(shared);
  const int me = threadIdx.x, block = blockIdx.x, left = (block + kBlocks - 1) % kBlocks;
  float value = values[block * kThreads + me];
  for (int t = 0; t < steps; ++t) {
    unsigned* slot = slots + t * kBlocks * words;
    publish<Storage, kWidth>(slot + block * words, me / kWidth, me % kWidth, value, block != silent || t != 2);
    const Watch watch(status, budget_ns, t, 1);
    const bool arrived =
        collect_lamport<1, kThreads / kWidth, 0, kWidth / per_word, 2, 0>(slot + left * words, operand, watch, [] {});
    if (__syncthreads_or(!arrived)) return;
    const unsigned word = operand[me / per_word] >> (16 * (me % per_word));
    value = 0.5f * value + 0.25f * Storage::decode(word);
    __syncthreads();  // the operand has been read
  }
  values[block * kThreads + me] = value;
}

#define RING(name, Storage)                                                                          \
  extern "C" __global__ void name(float* values, unsigned* slots, unsigned* status, int steps,       \
                                  int silent, unsigned long long budget_ns) {                        \
    ring<Storage>(values, slots, status, steps, silent, budget_ns);                                  \
  }
RING(ring_fp32, Float32)
RING(ring_fp16, Float16)
RING(ring_bf16, BFloat16)

// Every block reads all blocks behind a counter barrier: v = v / 2 + (v0 + v1 + v2 + v3) / 8.
extern "C" __global__ void all_to_all(float* values, unsigned* slots, unsigned* status, int steps,
                                      unsigned long long budget_ns, int relaxed) {
  SPRNN_DYNAMIC_SHARED(shared);
  unsigned* operand = reinterpret_cast<unsigned*>(shared);
  const int me = threadIdx.x, block = blockIdx.x;
  float value = values[block * kThreads + me];
  unsigned* counter = status + 8;
  for (int t = 0; t < steps; ++t) {
    unsigned* slot = slots + t * kBlocks * kThreads;
    publish<Float32, kWidth>(slot + block * kThreads, me / kWidth, me % kWidth, value, true);
    __syncthreads();  // everything this block publishes
    const Watch watch(status, budget_ns, t, 1);
    bool arrived = true;
    if (!relaxed) {
      arrived = wait_for_all_blocks(counter, (t + 1) * kBlocks, watch, [] {});
    } else if (me == 0) {
      atomicAdd(counter, 1u);  // a release is missing here
      while (load_acquire(counter) < (t + 1) * kBlocks) SPRNN_SPIN();
    }
    if (__syncthreads_or(!arrived)) return;
    collect_complete<1, kBlocks * kThreads / kWidth, 0, kWidth>(slot, operand);
    __syncthreads();  // the operand is complete
    float sum = 0;
    for (int b = 0; b < kBlocks; ++b) sum += __uint_as_float(operand[b * kThreads + me]);
    value = 0.5f * value + 0.125f * sum;
    __syncthreads();  // the operand has been read
  }
  values[block * kThreads + me] = value;
}

extern "C" __global__ void stuck(unsigned* flag) {
  while (load_acquire(flag) == 0) SPRNN_SPIN();  // LINE stuck
}

extern "C" __global__ void two_barriers(unsigned* flag) {
  if (threadIdx.x < 32) {
    __syncthreads();  // LINE first
  } else {
    __syncthreads();  // LINE second
  }
}

extern "C" __global__ void one_leaves(unsigned* flag) {
  if (threadIdx.x == 7) return;
  __syncthreads();  // LINE stays
}

// The lanes that are left vote at every poll, which is no progress.
extern "C" __global__ void one_leaves_the_polls(unsigned* flag) {
  if (threadIdx.x == 0) return;
  while (!__any_sync(0xFFFFFFFFu, load_acquire(flag) != 0)) SPRNN_SPIN();  // LINE polls
}

extern "C" __global__ void one_leaves_the_copies(unsigned* flag) {
  SPRNN_DYNAMIC_SHARED(shared);
  unsigned long long* arrival = reinterpret_cast<unsigned long long*>(shared);
  if (threadIdx.x == 0) init_arrival(arrival);
  __syncthreads();
  if (threadIdx.x == 0) return;  // it should have had something copied
  wait_for_copies(arrival, 0);
}

extern "C" __global__ void stores_for_ever(unsigned* flag) {
  for (;;) {
    store_relaxed(reinterpret_cast<Words<1>*>(flag), Words<1>{{1}});
    SPRNN_SPIN();
  }
}

extern "C" __global__ void runs_for_ever(unsigned* flag) {
  volatile unsigned* f = flag;
  while (*f == 0) {
  }
}

extern "C" __global__ void meets_for_ever(unsigned* flag) {
  for (;;) __syncwarp();
}

extern "C" __global__ void keeps_much(unsigned* flag) {
  volatile unsigned kept[100000];
  for (int i = 0; i < 100000; ++i) kept[i] = flag[0] + i;
  __syncthreads();
  unsigned sum = 0;
  for (int i = 0; i < 100000; ++i) sum += kept[i];
  if (threadIdx.x == 0 && blockIdx.x == 0) flag[0] = sum;
}

extern "C" __global__ void shuffles(int* out, double* wide) {
  const int lane = threadIdx.x, value = 100 + lane;
  out[lane] = __shfl_xor_sync(0xFFFFFFFFu, value, 5);
  out[32 + lane] = __shfl_down_sync(0xFFFFFFFFu, value, 7);
  out[64 + lane] = __shfl_sync(0xFFFFFFFFu, value, 3);
  wide[lane] = __shfl_xor_sync(0xFFFFFFFFu, 1.0 / value, 16);
}

// A tree sum in shared memory: wrong without any one of its barriers.
extern "C" __global__ void tree_sum(const int* values, int* sums) {
  SPRNN_DYNAMIC_SHARED(shared);
  int* part = reinterpret_cast<int*>(shared);
  const int me = threadIdx.x, threads = blockDim.x;
  part[me] = values[blockIdx.x * threads + me];
  for (int half = threads / 2; half; half /= 2) {
    __syncthreads();
    if (me < half) part[me] += part[me + half];
  }
  if (me == 0) sums[blockIdx.x] = part[0];
}

extern "C" __global__ void widen(float* from_half, float* from_bf16) {
  for (int i = threadIdx.x; i < 65536; i += blockDim.x) {
    from_half[i] = half_to_float((unsigned short)i);
    from_bf16[i] = bf16_to_float((unsigned short)i);
  }
}

extern "C" __global__ void narrow(const float* x, unsigned short* half, unsigned short* bf16, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    half[i] = float_to_half(x[i]);
    bf16[i] = float_to_bf16(x[i]);
  }
}

extern "C" __global__ void fma_halves(const unsigned* a, const unsigned* b, const unsigned* c, unsigned* d, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) d[i] = fma_half2(a[i], b[i], c[i]);
}
