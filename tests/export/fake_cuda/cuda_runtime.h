// The rest of it, for C++.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda_on_cpu.hpp"
#include "cuda_runtime_api.h"

enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDefault };
enum cudaDeviceAttr {
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum { cudaStreamNonBlocking = 1 };
struct cudaFuncAttributes {};
struct dim3 {
  unsigned x;
  explicit dim3(unsigned x) : x(x) {}
};
typedef std::chrono::steady_clock::time_point* cudaEvent_t;

namespace fake_cuda {

// What a test may set in the environment.
inline long setting(const char* name, long otherwise) {
  const char* text = getenv(name);
  return text ? atol(text) : otherwise;
}

template <class... Values>
void log(const char* format, Values... values) {
  const char* path = getenv("FAKE_CUDA_LOG");
  FILE* file = path ? fopen(path, "a") : nullptr;
  if (!file) return;
  fprintf(file, format, values...);
  fclose(file);
}

// How many launches succeed, and how often all threads may look before the simulator calls it a dead-lock (0: for ever).
inline long launches_left = 1 << 30;
inline unsigned deadlock_rounds = 200;

// The size of every argument of a kernel, and its first 8 bytes.
template <class... Args>
void log_arguments(void (*)(Args...), void** arguments) {
  const size_t sizes[] = {sizeof(Args)...};
  for (size_t i = 0; i < sizeof...(Args); ++i) {
    unsigned long long value = 0;
    memcpy(&value, arguments[i], sizes[i]);
    log(" %zu:%llu", sizes[i], value);
  }
}

template <class Kernel>
cudaError_t launch(const char* call, Kernel* kernel, dim3 grid, dim3 block, void** arguments, size_t shared) {
  log("%s %u %u %zu", call, grid.x, block.x, shared);
  log_arguments(kernel, arguments);
  log("\n");
  if (launches_left-- <= 0) return cudaErrorLaunchFailure;
  const sprnn_sim::Options options = {0, deadlock_rounds, 3, 1u << 18, 60.0};
  uint64_t statistics[2];
  const std::string why = sprnn_sim::launch({sprnn_sim::bind(kernel, arguments)}, grid.x, block.x, shared, options, statistics);
  if (!why.empty()) fprintf(stderr, "simulator: %s\n", why.c_str());
  return why.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

}  // namespace fake_cuda

inline const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "an error of the fake"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = (int)fake_cuda::setting("FAKE_CUDA_DEVICE", 0), cudaSuccess; }

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const char* names[] = {"FAKE_CUDA_SHARED", "FAKE_CUDA_SMS", "FAKE_CUDA_MAJOR", "FAKE_CUDA_MINOR"};
  const long defaults[] = {227 << 10, 132, 9, 0};
  *value = (int)fake_cuda::setting(names[attribute], defaults[attribute]);
  return cudaSuccess;
}

// Fresh memory is poisoned, so that reading what nobody wrote shows. FAKE_CUDA_ALLOCATIONS: how many succeed.
inline cudaError_t cudaMalloc(void** place, size_t bytes) {
  static long left = fake_cuda::setting("FAKE_CUDA_ALLOCATIONS", 1 << 30);
  fake_cuda::log("allocate\n");
  if (left-- <= 0) return cudaErrorMemoryAllocation;
  *place = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(*place, 0xCB, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* place) { return free(place), cudaSuccess; }

inline cudaError_t cudaMemsetAsync(void* place, int byte, size_t bytes, cudaStream_t) {
  fake_cuda::log("fill %llu %d %zu\n", (unsigned long long)(uintptr_t)place, byte, bytes);
  return memset(place, byte, bytes), cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  return memcpy(to, from, bytes), cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  return memcpy(to, from, bytes), cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return *stream = nullptr, cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }

// Streams do nothing later than they are asked: a gate that opens later would never.
inline cudaError_t cudaLaunchHostFunc(cudaStream_t, void (*)(void*), void*) { return cudaSuccess; }

inline cudaError_t cudaEventCreate(cudaEvent_t* event) { return *event = new std::chrono::steady_clock::time_point, cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) { return *event = std::chrono::steady_clock::now(), cudaSuccess; }
inline cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t first, cudaEvent_t last) {
  *ms = std::chrono::duration<float, std::milli>(*last - *first).count();
  return cudaSuccess;
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int) {
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel*) {
  return fake_cuda::setting("FAKE_CUDA_MAJOR", 9) == 9 ? cudaSuccess : cudaErrorNoKernelImageForDevice;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel, int, size_t) {
  return *blocks = 1, cudaSuccess;
}
template <class Kernel>
cudaError_t cudaLaunchKernel(Kernel* kernel, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t) {
  return fake_cuda::launch("launch", kernel, grid, block, arguments, shared);
}
template <class Kernel>
cudaError_t cudaLaunchCooperativeKernel(Kernel* kernel, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t) {
  return fake_cuda::launch("together", kernel, grid, block, arguments, shared);
}
