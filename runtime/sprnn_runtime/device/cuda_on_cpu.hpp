// Gives the words of CUDA C a meaning on a CPU, so that g++ compiles a generated kernel unchanged.
#pragma once

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "fibers.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

#define SPRNN_SIM_TEXT2(x) #x
#define SPRNN_SIM_TEXT(x) SPRNN_SIM_TEXT2(x)
#define SPRNN_SIM_HERE __FILE__ ":" SPRNN_SIM_TEXT(__LINE__)

#define threadIdx (sprnn_sim::machine->current->thread)
#define blockIdx (sprnn_sim::Index{sprnn_sim::machine->current->block->index})
#define blockDim (sprnn_sim::machine->block)
#define gridDim (sprnn_sim::machine->grid)
#define warpSize 32

#define __syncthreads() ((void)sprnn_sim::meet_block(SPRNN_SIM_HERE))
#define __syncthreads_or(vote) sprnn_sim::meet_block(SPRNN_SIM_HERE, (vote) != 0)
#define __any_sync(mask, vote) \
  sprnn_sim::meet(sprnn_sim::machine->current->warp->gate, SPRNN_SIM_HERE, (vote) != 0)
#define __syncwarp(...) sprnn_sim::meet_warp(SPRNN_SIM_HERE)
#define __shfl_sync(mask, value, lane) sprnn_sim::exchange_lanes(value, (lane) & 31u, SPRNN_SIM_HERE)
#define __shfl_xor_sync(mask, value, distance) \
  sprnn_sim::exchange_lanes(value, sprnn_sim::machine->current->lane ^ (distance), SPRNN_SIM_HERE)
#define __shfl_down_sync(mask, value, distance) \
  sprnn_sim::exchange_lanes(value, sprnn_sim::lane_below(distance), SPRNN_SIM_HERE)

inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T atomicAdd(T* p, T value) {
  const T old = *p;
  *p = old + value;
  return old;
}
template <class T>
T atomicCAS(T* p, T expected, T value) {
  const T old = *p;
  if (old == expected) *p = value;
  return old;
}
#define atomicCAS_system atomicCAS

namespace sprnn_sim {

// Calls a kernel with arguments given by address, as cudaLaunchKernel does; the types are its own.
template <class... A, size_t... I>
void call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_reference_t<A>*>(args[I])...);
}
template <class... A>
std::function<void()> bind(void (*kernel)(A...), void** args) {
  return [=] { call(kernel, args, std::index_sequence_for<A...>{}); };
}
template <class... A>
constexpr int arity(void (*)(A...)) {
  return sizeof...(A);
}

}  // namespace sprnn_sim
