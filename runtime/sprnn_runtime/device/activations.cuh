// Elementwise functions of the language, accurate to a few ulp. NaN goes in, NaN comes out.
#pragma once

namespace sprnn {

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ __forceinline__ float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ __forceinline__ float exponential(float x) { return expf(x); }

}  // namespace sprnn
