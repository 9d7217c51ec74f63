// The floor of one time step: how fast all blocks see a vector of which each block writes a part.
//   nvcc -O3 -std=c++17 -gencode=arch=compute_90a,code=sm_90a exchange_floor.cu -o exchange_floor
// A step is what a kernel without arithmetic does: publish, a barrier of the block, bring the whole vector into
// shared memory, a barrier. Every wait has a budget.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define CHECK(call)                                                                       \
  do {                                                                                    \
    cudaError_t error = (call);                                                           \
    if (error != cudaSuccess) {                                                           \
      std::printf("%s: %s, line %d\n", #call, cudaGetErrorString(error), __LINE__);       \
      std::exit(1);                                                                       \
    }                                                                                     \
  } while (0)

constexpr int kBlocks = 128, kSteps = 500, kRepeats = 9;
constexpr unsigned long long kBudgetNs = 2000000000ull;

__device__ __forceinline__ uint4 load_relaxed(const uint4* p) {
  uint4 v;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p) : "memory");
  return v;
}

__device__ __forceinline__ void store_relaxed(uint2* p, uint2 v) {
  asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};" ::"l"(p), "r"(v.x), "r"(v.y) : "memory");
}

__device__ __forceinline__ bool pending(uint4 v) { return v.x == ~0u || v.y == ~0u || v.z == ~0u || v.w == ~0u; }

__device__ __forceinline__ unsigned long long now_ns() {
  unsigned long long t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
}

__device__ __forceinline__ void pause_cycles(int cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {
  }
}

// This block's part of a slot, 8 bytes a half-warp, as a unit's lanes publish four columns of fp16.
__device__ __forceinline__ void publish(uint4* slot, int chunks, int t, const uint4* operand) {
  const int first = 2 * (chunks * blockIdx.x / kBlocks), end = 2 * (chunks * (blockIdx.x + 1) / kBlocks);
  if (threadIdx.x % 16) return;
  for (int at = first + threadIdx.x / 16; at < end; at += blockDim.x / 16) {
    store_relaxed(reinterpret_cast<uint2*>(slot) + at, make_uint2(t, t ? operand[at / 2].x : 0));
  }
}

// Every thread polls its chunks, IN_FLIGHT at once.
template <int IN_FLIGHT>
__global__ void __launch_bounds__(1024, 1) by_polls(uint4* slots, int chunks, int wait, int, unsigned* failed) {
  extern __shared__ uint4 operand[];
  const unsigned long long deadline = now_ns() + kBudgetNs;
  for (int t = 0; t < kSteps; ++t) {
    uint4* slot = slots + (size_t)t * chunks;
    publish(slot, chunks, t, operand);
    __syncthreads();
    if (wait) pause_cycles(wait);
    unsigned polls = 0;
    for (int first = threadIdx.x; first < chunks; first += IN_FLIGHT * blockDim.x) {
      uint4 v[IN_FLIGHT];
#pragma unroll
      for (int i = 0; i < IN_FLIGHT; ++i) {
        const int at = first + i * blockDim.x;
        if (at < chunks) v[i] = load_relaxed(slot + at);
      }
#pragma unroll
      for (int i = 0; i < IN_FLIGHT; ++i) {
        const int at = first + i * blockDim.x;
        if (at < chunks) {
          while (pending(v[i])) {
            v[i] = load_relaxed(slot + at);
            if (++polls % 4096 == 0 && now_ns() > deadline) {
              *failed = 1;
              return;
            }
          }
          operand[at] = v[i];
        }
      }
    }
    __syncthreads();
  }
}

// Each of the first `couriers` warps has a run of whole lines copied until no word of it is pending.
__global__ void __launch_bounds__(1024, 1) by_copies(uint4* slots, int chunks, int wait, int couriers, unsigned* failed) {
  extern __shared__ uint4 operand[];
  __shared__ alignas(8) unsigned long long arrivals[32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int longest = (chunks + couriers * 8 - 1) / (couriers * 8) * 8;
  const int first = warp * longest, length = min(longest, chunks - first);
  const unsigned arrival = (unsigned)__cvta_generic_to_shared(arrivals + warp), bytes = length * 16;
  if (lane == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(arrival));
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  unsigned parity = 0;
  const unsigned long long deadline = now_ns() + kBudgetNs;
  for (int t = 0; t < kSteps; ++t) {
    uint4* slot = slots + (size_t)t * chunks;
    publish(slot, chunks, t, operand);
    __syncthreads();
    if (wait) pause_cycles(wait);
    if (warp < couriers && length > 0) {
      unsigned polls = 0;
      for (bool again = true; again;) {
        if (lane == 0) {
          asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(arrival), "r"(bytes) : "memory");
          asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                           (unsigned)__cvta_generic_to_shared(operand + first)),
                       "l"(slot + first), "r"(bytes), "r"(arrival) : "memory");
        }
        unsigned done = 0;
        while (!done) {
          asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                       : "=r"(done) : "r"(arrival), "r"(parity) : "memory");
        }
        parity ^= 1;
        bool missing = false;
        for (int i = lane; i < length; i += 32) missing |= pending(operand[first + i]);
        again = __any_sync(~0u, missing);
        if (++polls % 1024 == 0 && now_ns() > deadline) {
          *failed = 1;
          return;
        }
      }
    }
    __syncthreads();
  }
}

// Two SMs answer each other: the time of one store until a poll elsewhere sees it.
__global__ void ping_pong(uint4* slots, unsigned* failed) {
  const unsigned long long deadline = now_ns() + kBudgetNs;
  for (int t = 0; t < kSteps; ++t) {
    uint4* slot = slots + (size_t)t * 8;
    if (t % 2 == (int)blockIdx.x) {
      store_relaxed(reinterpret_cast<uint2*>(slot), make_uint2(t, 0));
      store_relaxed(reinterpret_cast<uint2*>(slot) + 1, make_uint2(t, 0));
      continue;
    }
    unsigned polls = 0;
    while (pending(load_relaxed(slot))) {
      if (++polls % 4096 == 0 && now_ns() > deadline) {
        *failed = 1;
        return;
      }
    }
  }
}

// Median microseconds a step of `launch`; the slots are pending before each.
template <class Launch>
float median_us(Launch launch, uint4* slots, size_t bytes) {
  cudaEvent_t before, after;
  CHECK(cudaEventCreate(&before));
  CHECK(cudaEventCreate(&after));
  std::vector<float> times;
  for (int r = 0; r < kRepeats; ++r) {
    CHECK(cudaMemsetAsync(slots, 0xFF, bytes));
    CHECK(cudaEventRecord(before));
    launch();
    CHECK(cudaEventRecord(after));
    CHECK(cudaEventSynchronize(after));
    float ms;
    CHECK(cudaEventElapsedTime(&ms, before, after));
    if (r > 1) times.push_back(ms * 1e3f / kSteps);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

struct Way {
  const char* name;
  const void* kernel;
  int threads, wait, couriers;
};

int main() {
  const std::vector<int> sizes = {2, 4, 8, 9, 14, 18, 32, 64};  // KB
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  uint4* slots;
  unsigned* failed;
  CHECK(cudaMalloc(&slots, (size_t)kSteps * sizes.back() * 1024));
  CHECK(cudaMalloc(&failed, sizeof(unsigned)));
  CHECK(cudaMemset(failed, 0, sizeof(unsigned)));
  std::printf("%s, %d SMs, L2 %d MB, %d blocks\n", device.name, device.multiProcessorCount, device.l2CacheSize >> 20, kBlocks);
  std::printf("one store, seen by one other SM: %.3f us\n",
              median_us([&] { ping_pong<<<2, 1>>>(slots, failed); }, slots, (size_t)kSteps * 128));

  std::vector<Way> ways;
  for (int threads : {256, 512, 768, 1024}) {
    for (int wait : {0, 100}) {
      ways.push_back({"polls, 1 in flight", (const void*)by_polls<1>, threads, wait, 0});
      ways.push_back({"polls, 2 in flight", (const void*)by_polls<2>, threads, wait, 0});
    }
  }
  for (int couriers : {8, 16}) {
    for (int wait : {0, 100, 200, 300}) ways.push_back({"copies", (const void*)by_copies, 512, wait, couriers});
  }
  std::printf("%-54s", "us a step, KB:");
  for (int kb : sizes) std::printf("%8d", kb);
  std::printf("\n");
  for (Way& way : ways) {
    std::printf("%-19s %4d threads wait %3d %2d couriers  ", way.name, way.threads, way.wait, way.couriers);
    CHECK(cudaFuncSetAttribute(way.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sizes.back() * 1024));
    for (int kb : sizes) {
      int chunks = kb * 64;
      const size_t bytes = (size_t)kSteps * chunks * 16;
      void* arguments[] = {&slots, &chunks, &way.wait, &way.couriers, &failed};
      std::printf("%8.3f", median_us([&] {
        CHECK(cudaLaunchCooperativeKernel(way.kernel, kBlocks, way.threads, arguments, chunks * 16, 0));
      }, slots, bytes));
      std::fflush(stdout);
    }
    unsigned gave_up;
    CHECK(cudaMemcpy(&gave_up, failed, sizeof gave_up, cudaMemcpyDeviceToHost));
    CHECK(cudaMemset(failed, 0, sizeof gave_up));
    std::printf("%s\n", gave_up ? "  FAILED" : "");
  }
}
