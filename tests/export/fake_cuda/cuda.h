// A small part of the CUDA driver on a CPU, for tests: kernels run in the simulator, at once. The program that
// includes it says, in `fake_cuda_bind`, which kernel "PATH NAME" is, the path being that of its module.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <string>

#include "cuda_on_cpu.hpp"

typedef enum { CUDA_SUCCESS = 0, CUDA_ERROR_LAUNCH_FAILED = 719 } CUresult;
typedef unsigned long long CUdeviceptr;
typedef int CUdevice;
typedef const char* CUmodule;
typedef struct fake_context* CUcontext;
typedef struct fake_stream* CUstream;
typedef const char* CUfunction;
enum { CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, CU_STREAM_NON_BLOCKING };

std::function<void()> fake_cuda_bind(const std::string& kernel, void** arguments);

inline CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
inline CUresult cuDeviceGet(CUdevice* device, int) { return *device = 0, CUDA_SUCCESS; }
inline CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) { return *context = nullptr, CUDA_SUCCESS; }
inline CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }
inline CUresult cuCtxSynchronize() { return CUDA_SUCCESS; }
inline CUresult cuGetErrorString(CUresult, const char** text) { return *text = "an error of the fake", CUDA_SUCCESS; }
inline CUresult cuModuleLoad(CUmodule* module, const char* path) { return *module = path, CUDA_SUCCESS; }
inline CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
inline CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  static std::list<std::string> names;  // "PATH NAME": kernels of several modules may have one name
  return *function = names.emplace_back(std::string(module) + " " + name).c_str(), CUDA_SUCCESS;
}
inline CUresult cuFuncSetAttribute(CUfunction, int, int) { return CUDA_SUCCESS; }
inline CUresult cuStreamCreate(CUstream* stream, int) { return *stream = nullptr, CUDA_SUCCESS; }
inline CUresult cuStreamSynchronize(CUstream) { return CUDA_SUCCESS; }
inline CUresult cuStreamDestroy(CUstream) { return CUDA_SUCCESS; }

inline CUresult cuMemAlloc(CUdeviceptr* place, size_t bytes) {
  void* memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(memory, 0xCB, bytes);  // reading what nobody wrote shows
  return *place = (CUdeviceptr)memory, CUDA_SUCCESS;
}
inline CUresult cuMemFree(CUdeviceptr place) { return free((void*)place), CUDA_SUCCESS; }
inline CUresult cuMemsetD8(CUdeviceptr place, unsigned char byte, size_t bytes) { return memset((void*)place, byte, bytes), CUDA_SUCCESS; }
inline CUresult cuMemsetD8Async(CUdeviceptr place, unsigned char byte, size_t bytes, CUstream) { return cuMemsetD8(place, byte, bytes); }
inline CUresult cuMemcpyHtoD(CUdeviceptr to, const void* from, size_t bytes) { return memcpy((void*)to, from, bytes), CUDA_SUCCESS; }
inline CUresult cuMemcpyDtoH(void* to, CUdeviceptr from, size_t bytes) { return memcpy(to, (void*)from, bytes), CUDA_SUCCESS; }
inline CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream) { return cuMemcpyDtoH(to, from, bytes); }

inline CUresult cuLaunchKernel(CUfunction kernel, unsigned grid, unsigned, unsigned, unsigned block, unsigned, unsigned,
                               unsigned shared, CUstream, void** arguments, void**) {
  const sprnn_sim::Options options = {0, 200, 3, 1u << 18, 60.0};
  uint64_t statistics[2];
  const std::string why = sprnn_sim::launch({fake_cuda_bind(kernel, arguments)}, grid, block, shared, options, statistics);
  if (!why.empty()) fprintf(stderr, "simulator: %s\n", why.c_str());
  return why.empty() ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
}
inline CUresult cuLaunchCooperativeKernel(CUfunction kernel, unsigned grid, unsigned y, unsigned z, unsigned block, unsigned v,
                                          unsigned w, unsigned shared, CUstream stream, void** arguments) {
  return cuLaunchKernel(kernel, grid, y, z, block, v, w, shared, stream, arguments, nullptr);
}
