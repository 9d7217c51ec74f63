// Elementwise functions that have one body only. Unlike fminf and fmaxf, all let NaN through.
#pragma once

namespace sprnn {

__device__ __forceinline__ float relu(float x) { return x < 0.0f ? 0.0f : x; }
__device__ __forceinline__ float minimum(float a, float b) { return a < b || a != a ? a : b; }
__device__ __forceinline__ float maximum(float a, float b) { return a > b || a != a ? a : b; }
// log(1 + exp(x)) without overflow.
__device__ __forceinline__ float softplus(float x) {
  return maximum(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

}  // namespace sprnn
