// The floor of one time step: how fast all SMs see a vector of which each SM writes a part.
//   nvcc -O3 -std=c++17 -gencode=arch=compute_90a,code=sm_90a exchange_floor.cu -o exchange_floor
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

__device__ __forceinline__ uint4 load_relaxed(const uint4* p) {
  uint4 v;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0,%1,%2,%3},[%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p) : "memory");
  return v;
}
__device__ __forceinline__ void store_relaxed(uint4* p, uint4 v) {
  asm volatile("st.relaxed.gpu.global.v4.u32 [%0],{%1,%2,%3,%4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
__device__ __forceinline__ void store_half(uint4* p, int half, uint4 v) {
  asm volatile("st.relaxed.gpu.global.v2.u32 [%0],{%1,%2};" ::"l"((uint2*)p + half), "r"(v.x), "r"(v.y) : "memory");
}
__device__ __forceinline__ bool pending(uint4 v) {
  return v.x == ~0u || v.y == ~0u || v.z == ~0u || v.w == ~0u;
}
__device__ __forceinline__ unsigned smid() {
  unsigned s;
  asm("mov.u32 %0, %%smid;" : "=r"(s));
  return s;
}
__device__ __forceinline__ unsigned long long now_ns() {
  unsigned long long t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
}

enum Group { ONE, SMID_BLOCKED, SMID_PAIRS };

struct Params {
  int steps, chunks, replicas, group, wait_cycles, pollers, halves, sync, backoff, canary;
  unsigned* failed;
};

// IN_FLIGHT polls of a thread overlap; the operand is double-buffered, so a step has one barrier.
template <int IN_FLIGHT>
__global__ void __launch_bounds__(1024, 1) exchange(Params p, uint4* slots) {
  extern __shared__ uint4 operand[];
  const int blocks = gridDim.x, b = blockIdx.x;
  const int low = (int)((long)p.chunks * b / blocks), high = (int)((long)p.chunks * (b + 1) / blocks);
  const int sm = smid();
  const int replica = p.group == ONE ? 0 : p.group == SMID_BLOCKED ? min(sm * p.replicas / 132, p.replicas - 1) : sm / 2 % p.replicas;
  const unsigned long long deadline = now_ns() + 2000000000ull;
  for (int t = 0; t < p.steps; ++t) {
    uint4* slot = slots + (size_t)t * p.chunks * p.replicas;
    uint4* to = operand + (t & 1) * p.chunks;
    const uint4* before = operand + (~t & 1) * p.chunks;
    const int mine = high - low, work = mine * p.replicas * (p.halves ? 2 : 1);
    for (int i = threadIdx.x; i < work; i += blockDim.x) {
      int j = i, half = 0;
      if (p.halves) half = j % 2, j /= 2;
      const int at = low + j % mine, r = j / mine;
      uint4 v = make_uint4(t, at, t ? before[at].x : 0, 0);
      if (p.halves) store_half(slot + (size_t)r * p.chunks + at, half, v);
      else store_relaxed(slot + (size_t)r * p.chunks + at, v);
    }
    if (p.sync) __syncthreads();  // no poll goes out before this block's own stores
    if (p.wait_cycles) {
      const long long start = clock64();
      while (clock64() - start < p.wait_cycles) {}
    }
    if (p.canary) {  // the first chunk of every block's part announces the rest
      unsigned tries = 0;
      if (threadIdx.x < blocks) {
        const int at = (int)((long)p.chunks * threadIdx.x / blocks);
        while (pending(load_relaxed(slot + at)))
          if (++tries % 4096 == 0 && now_ns() > deadline) { *p.failed = 1; return; }
      }
      __syncthreads();
    }
    const uint4* from = slot + (size_t)replica * p.chunks;
    unsigned polls = 0;
    if (threadIdx.x < p.pollers)
    for (int first = threadIdx.x; first < p.chunks; first += IN_FLIGHT * p.pollers) {
      uint4 v[IN_FLIGHT];
#pragma unroll
      for (int i = 0; i < IN_FLIGHT; ++i)
        if (first + i * p.pollers < p.chunks) v[i] = load_relaxed(from + first + i * p.pollers);
#pragma unroll
      for (int i = 0; i < IN_FLIGHT; ++i) {
        const int at = first + i * p.pollers;
        if (at >= p.chunks) break;
        while (pending(v[i])) {
          if (++polls % 4096 == 0 && now_ns() > deadline) { *p.failed = 1; return; }
          if (p.backoff) {
            const long long start = clock64();
            while (clock64() - start < p.backoff) {}
          }
          v[i] = load_relaxed(from + at);
        }
        to[at] = v[i];
      }
    }
    __syncthreads();
  }
}

// One bulk copy a warp brings its part into shared memory; the words themselves say whether to ask again.
__global__ void __launch_bounds__(1024, 1) exchange_bulk(Params p, uint4* slots) {
  extern __shared__ uint4 operand[];
  __shared__ alignas(8) unsigned long long bars[32];
  const int blocks = gridDim.x, b = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int low = (int)((long)p.chunks * b / blocks), high = (int)((long)p.chunks * (b + 1) / blocks);
  const int parts = p.pollers / 32;
  const int wl = (int)((long)p.chunks * warp / parts), wh = (int)((long)p.chunks * (warp + 1) / parts);
  const unsigned bar = (unsigned)__cvta_generic_to_shared(&bars[warp]);
  if (lane == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(bar));
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  unsigned parity = 0;
  const unsigned long long deadline = now_ns() + 2000000000ull;
  for (int t = 0; t < p.steps; ++t) {
    uint4* slot = slots + (size_t)t * p.chunks;
    uint4* to = operand + (t & 1) * p.chunks;
    const uint4* before = operand + (~t & 1) * p.chunks;
    for (int i = low + threadIdx.x; i < high; i += blockDim.x) store_relaxed(slot + i, make_uint4(t, i, t ? before[i].x : 0, 0));
    if (p.sync) __syncthreads();
    if (p.wait_cycles) {
      const long long start = clock64();
      while (clock64() - start < p.wait_cycles) {}
    }
    if (warp < parts) {
      unsigned polls = 0;
      for (bool again = true; again;) {
        if (lane == 0) {
          const unsigned dst = (unsigned)__cvta_generic_to_shared(to + wl), bytes = (wh - wl) * 16;
          asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
          asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(dst), "l"(slot + wl), "r"(bytes), "r"(bar) : "memory");
        }
        unsigned done = 0;
        while (!done) asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p,[%1],%2;\nselp.u32 %0,1,0,p;\n}" : "=r"(done) : "r"(bar), "r"(parity) : "memory");
        parity ^= 1;
        bool any = false;
        for (int i = wl + lane; i < wh; i += 32) any |= pending(to[i]);
        again = __any_sync(~0u, any);
        if (++polls % 1024 == 0 && now_ns() > deadline) { *p.failed = 1; return; }
      }
    }
    __syncthreads();
  }
}

// The same with the blocks of a cluster sharing every copy: each asks for its part on behalf of all.
__global__ void __launch_bounds__(1024, 1) exchange_multicast(Params p, uint4* slots) {
  extern __shared__ uint4 operand[];
  __shared__ alignas(8) unsigned long long bars[32];
  unsigned rank, size;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  const int blocks = gridDim.x, b = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int low = (int)((long)p.chunks * b / blocks), high = (int)((long)p.chunks * (b + 1) / blocks);
  const int parts = p.pollers / 32;  // part `warp` is asked for by the block of rank `warp % size`
  const int wl = (int)((long)p.chunks * warp / parts), wh = (int)((long)p.chunks * (warp + 1) / parts);
  const unsigned bar = (unsigned)__cvta_generic_to_shared(&bars[warp]);
  if (lane == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(bar));
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
  unsigned parity = 0;
  const unsigned long long deadline = now_ns() + 2000000000ull;
  for (int t = 0; t < p.steps; ++t) {
    uint4* slot = slots + (size_t)t * p.chunks;
    uint4* to = operand + (t & 1) * p.chunks;
    const uint4* before = operand + (~t & 1) * p.chunks;
    for (int i = low + threadIdx.x; i < high; i += blockDim.x) store_relaxed(slot + i, make_uint4(t, i, t ? before[i].x : 0, 0));
    if (p.sync) __syncthreads();
    if (p.wait_cycles) {
      const long long start = clock64();
      while (clock64() - start < p.wait_cycles) {}
    }
    if (warp < parts) {
      unsigned polls = 0;
      for (bool again = true; again;) {
        if (lane == 0) {
          const unsigned dst = (unsigned)__cvta_generic_to_shared(to + wl), bytes = (wh - wl) * 16;
          asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
          if (warp % size == rank)
            asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(dst), "l"(slot + wl), "r"(bytes), "r"(bar), "h"((unsigned short)((1 << size) - 1)) : "memory");
        }
        unsigned done = 0;
        while (!done) {
          asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p,[%1],%2;\nselp.u32 %0,1,0,p;\n}" : "=r"(done) : "r"(bar), "r"(parity) : "memory");
          if (++polls % 1024 == 0 && now_ns() > deadline) { *p.failed = 1; break; }
        }
        parity ^= 1;
        bool any = false;
        for (int i = wl + lane; i < wh; i += 32) any |= pending(to[i]);
        again = __any_sync(~0u, any);
        if (++polls % 1024 == 0 && now_ns() > deadline) { *p.failed = 1; break; }
      }
    }
    __syncthreads();
  }
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

// Two SMs answer each other: the latency of one store until a poll elsewhere sees it.
__global__ void ping_pong(int steps, uint4* slots, unsigned* failed) {
  const unsigned long long deadline = now_ns() + 2000000000ull;
  if (threadIdx.x) return;
  for (int t = 0; t < steps; ++t) {
    if (t % 2 == (int)blockIdx.x) { store_relaxed(slots + (size_t)t * 8, make_uint4(t, 0, 0, 0)); continue; }
    unsigned polls = 0;
    while (pending(load_relaxed(slots + (size_t)t * 8)))
      if (++polls % 4096 == 0 && now_ns() > deadline) { *failed = 1; return; }
  }
}

// A dependent chain of loads from L2, for its latency.
__global__ void chase(int steps, const uint4* slots, long long* cycles) {
  if (threadIdx.x) return;
  unsigned at = 0;
  const long long start = clock64();
  for (int t = 0; t < steps; ++t) at = (load_relaxed(slots + at).w + 1) * 97 % 4096 * 8;
  *cycles = clock64() - start + (at == 77777);
}

__global__ void barriers(int steps, long long* cycles) {
  const long long start = clock64();
  for (int t = 0; t < steps; ++t) __syncthreads();
  *cycles = clock64() - start;
}

template <class Launch>
float median_us(Launch launch, uint4* slots, size_t bytes, int steps, int repeats = 7) {
  cudaEvent_t a, b;
  CHECK(cudaEventCreate(&a));
  CHECK(cudaEventCreate(&b));
  std::vector<float> times;
  for (int r = 0; r < repeats; ++r) {
    CHECK(cudaMemset(slots, 0xFF, bytes));
    CHECK(cudaEventRecord(a));
    launch();
    CHECK(cudaEventRecord(b));
    CHECK(cudaEventSynchronize(b));
    float ms;
    CHECK(cudaEventElapsedTime(&ms, a, b));
    if (r) times.push_back(ms * 1e3f / steps);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

int main() {
  int steps = 1000;
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  std::printf("%s, %d SMs, L2 %d MB\n", device.name, device.multiProcessorCount, device.l2CacheSize >> 20);
  const size_t bytes = (size_t)steps * 144 * 1024 * 2;
  uint4* slots;
  unsigned* failed;
  long long *cycles, got;
  CHECK(cudaMalloc(&slots, bytes));
  CHECK(cudaMalloc(&failed, 4));
  CHECK(cudaMalloc(&cycles, 8));
  CHECK(cudaMemset(failed, 0, 4));
  void* pp[] = {&steps, &slots, &failed};
  for (int blocks : {2})
    std::printf("ping-pong: %.3f us one way\n", median_us([&] { CHECK(cudaLaunchCooperativeKernel((void*)ping_pong, blocks, 32, pp, 0, 0)); }, slots, (size_t)steps * 128, steps));
  for (int r = 0; r < 2; ++r) chase<<<1, 32>>>(steps, slots, cycles);
  CHECK(cudaMemcpy(&got, cycles, 8, cudaMemcpyDeviceToHost));
  std::printf("L2 load latency: %.0f cycles\n", (double)got / steps);
  for (int threads : {256, 512, 1024}) {
    for (int r = 0; r < 2; ++r) barriers<<<1, threads>>>(steps, cycles);
    CHECK(cudaMemcpy(&got, cycles, 8, cudaMemcpyDeviceToHost));
    std::printf("__syncthreads, %d threads: %.0f cycles\n", threads, (double)got / steps);
  }
  const int shared = 200 * 1024;
  CHECK(cudaFuncSetAttribute(exchange<1>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  CHECK(cudaFuncSetAttribute(exchange<2>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  CHECK(cudaFuncSetAttribute(exchange<4>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  CHECK(cudaFuncSetAttribute(exchange_bulk, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  CHECK(cudaFuncSetAttribute(exchange_multicast, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  struct Variant { const char* name; int kind, in_flight, blocks, pollers, wait, sync, backoff, canary, cluster; };
  std::vector<Variant> variants;
  for (int in_flight : {1, 2})
    for (int wait : {0, 100, 200, 300, 400, 500, 600})
      variants.push_back({"poll", 0, in_flight, 128, 1024, wait, 1, 0, 0, 1});
  for (int wait : {0, 200, 300, 400})
    for (int backoff : {50, 150, 300}) variants.push_back({"poll", 0, 2, 128, 1024, wait, 1, backoff, 0, 1});
  for (int blocks : {132, 64}) for (int wait : {0, 200, 300, 400}) variants.push_back({"poll", 0, 2, blocks, 1024, wait, 1, 0, 0, 1});
  for (int pollers : {512, 768}) for (int wait : {0, 300}) variants.push_back({"poll", 0, 2, 128, pollers, wait, 1, 0, 0, 1});
  for (int wait : {0, 200, 300}) variants.push_back({"canary", 0, 2, 128, 1024, wait, 1, 0, 1, 1});
  for (int parts : {4, 8, 16, 32}) for (int wait : {0, 200, 400}) variants.push_back({"bulk", 1, 0, 128, parts * 32, wait, 1, 0, 0, 1});
  for (int cluster : {2, 4, 8}) for (int parts : {8, 16, 32}) for (int wait : {0, 300}) variants.push_back({"multicast", 2, 0, 128, parts * 32, wait, 1, 0, 0, cluster});
  std::printf("%-44s", "us a step, KB:");
  const std::vector<int> sizes = {4, 9, 18, 32, 64};
  for (int kb : sizes) std::printf("%8d", kb);
  std::printf("\n");
  for (const Variant& v : variants) {
    std::printf("%-9s if %d blk %3d pol %4d wait %3d back %3d cl %d", v.name, v.in_flight, v.blocks, v.pollers, v.wait, v.backoff, v.cluster);
    for (int kb : sizes) {
      int chunks = kb * 64;
      Params p{steps, chunks, 1, ONE, v.wait, v.pollers, 0, v.sync, v.backoff, v.canary, failed};
      void* args[] = {&p, &slots};
      const void* kernel = v.kind == 2 ? (void*)exchange_multicast : v.kind ? (void*)exchange_bulk : v.in_flight == 1 ? (void*)exchange<1> : (void*)exchange<2>;
      cudaLaunchConfig_t config = {};
      config.gridDim = v.blocks;
      config.blockDim = 1024;
      config.dynamicSmemBytes = 2 * chunks * 16;
      cudaLaunchAttribute attributes[2];
      attributes[0].id = cudaLaunchAttributeCooperative;
      attributes[0].val.cooperative = 1;
      attributes[1].id = cudaLaunchAttributeClusterDimension;
      attributes[1].val.clusterDim.x = v.cluster;
      attributes[1].val.clusterDim.y = attributes[1].val.clusterDim.z = 1;
      config.attrs = attributes;
      config.numAttrs = v.cluster > 1 ? 2 : 1;
      cudaError_t error = cudaSuccess;
      const float us = median_us([&] { error = cudaLaunchKernelExC(&config, kernel, args); }, slots, (size_t)steps * chunks * 16, steps);
      if (error != cudaSuccess) { std::printf("%8s", "refused"); cudaGetLastError(); }
      else std::printf("%8.3f", us);
      std::fflush(stdout);
    }
    unsigned bad;
    CHECK(cudaMemcpy(&bad, failed, 4, cudaMemcpyDeviceToHost));
    std::printf("%s\n", bad ? "  FAILED" : "");
    CHECK(cudaMemset(failed, 0, 4));
    if (bad && v.kind == 2) break;
  }
}
