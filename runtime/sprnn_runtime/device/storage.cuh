// Storage types: how a number lies in memory, and how a lane reads several batch columns at once.
// `encode` makes a word of the columns that it holds: one, or two neighbours.
#pragma once

namespace sprnn {

struct Float32 {
  static constexpr int columns_per_word = 1;
  static __device__ __forceinline__ float decode(unsigned bits) { return __uint_as_float(bits); }
  static __device__ __forceinline__ unsigned encode(float x, float) { return __float_as_uint(x); }
};

struct Float16 {
  static constexpr int columns_per_word = 2;
  static __device__ __forceinline__ float decode(unsigned bits) {
    return half_to_float((unsigned short)bits);
  }
  static __device__ __forceinline__ unsigned encode(float low, float high) { return floats_to_halves(low, high); }
};

struct BFloat16 {
  static constexpr int columns_per_word = 2;
  static __device__ __forceinline__ float decode(unsigned bits) {
    return bf16_to_float((unsigned short)bits);
  }
  static __device__ __forceinline__ unsigned encode(float low, float high) { return floats_to_bf16s(low, high); }
};

// Column `c` of a run of adjacent columns that was loaded as whole words.
template <class Storage, int N>
__device__ __forceinline__ float column(const Words<N>& words, int c) {
  if constexpr (Storage::columns_per_word == 1) {
    return Storage::decode(words.w[c]);
  } else {
    return Storage::decode((words.w[c / 2] >> (16 * (c % 2))) & 0xFFFFu);
  }
}

}  // namespace sprnn
