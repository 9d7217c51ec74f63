// A small part of the CUDA runtime on a CPU, for tests: kernels run in the simulator, at once, and every fill,
// copy and launch is written to the file that $FAKE_CUDA_LOG names.
#pragma once

#include <stddef.h>

typedef enum {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorLaunchFailure = 719
} cudaError_t;
typedef struct fake_stream* cudaStream_t;
