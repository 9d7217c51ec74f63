// Every word of PTX that sprnnc uses, each with its meaning on a CPU beside it (SPRNN_SIM).
#pragma once

#ifdef SPRNN_SIM
#define SPRNN_DYNAMIC_SHARED(name) unsigned char* name = sprnn_sim::dynamic_shared()
#define SPRNN_SPIN() sprnn_sim::spin(SPRNN_SIM_HERE)  // a failed poll lets other threads run
#else
#define SPRNN_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#define SPRNN_SPIN() ((void)0)
#endif

namespace sprnn {

// N adjacent 32-bit words that one access moves.
template <int N>
struct alignas(4 * N) Words {
  unsigned w[N];
};

// Relaxed at gpu scope: never served from a stale L1 line, never torn within a word.
template <int N>
__device__ __forceinline__ Words<N> load_relaxed(const Words<N>* p) {
#ifdef SPRNN_SIM
  return *p;
#else
  Words<N> v;
  if constexpr (N == 1) {
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v.w[0]) : "l"(p) : "memory");
  } else if constexpr (N == 2) {
    asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];"
                 : "=r"(v.w[0]), "=r"(v.w[1]) : "l"(p) : "memory");
  } else {
    asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "l"(p) : "memory");
  }
  return v;
#endif
}

template <int N>
__device__ __forceinline__ void store_relaxed(Words<N>* p, Words<N> v) {
#ifdef SPRNN_SIM
  sprnn_sim::store_later(p, v.w, N);
#else
  if constexpr (N == 1) {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v.w[0]) : "memory");
  } else if constexpr (N == 2) {
    asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};" ::"l"(p), "r"(v.w[0]), "r"(v.w[1]) : "memory");
  } else {
    asm volatile("st.relaxed.gpu.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.w[0]),
                 "r"(v.w[1]), "r"(v.w[2]), "r"(v.w[3]) : "memory");
  }
#endif
}

// Adds one; what this thread wrote, or saw through a barrier of its block, is visible before it.
__device__ __forceinline__ void arrive_release(unsigned* counter) {
#ifdef SPRNN_SIM
  sprnn_sim::release_stores();
  ++*counter;
#else
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
#endif
}

__device__ __forceinline__ unsigned load_acquire(const unsigned* p) {
#ifdef SPRNN_SIM
  return *p;
#else
  unsigned v;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
  return v;
#endif
}

// Stores `value` if *p is `expected`; returns what was there before.
__device__ __forceinline__ unsigned exchange_first(unsigned* p, unsigned expected, unsigned value) {
  return atomicCAS(p, expected, value);
}

// Wall time in nanoseconds. Ticks coarsely (about a microsecond on Hopper).
__device__ __forceinline__ unsigned long long globaltimer_ns() {
#ifdef SPRNN_SIM
  return sprnn_sim::time_ns();
#else
  unsigned long long t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
#endif
}

__device__ __forceinline__ float half_to_float(unsigned short bits) {
#ifdef SPRNN_SIM
  _Float16 half;
  __builtin_memcpy(&half, &bits, 2);
  return (float)half;
#else
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
#endif
}

// Round to nearest even.
__device__ __forceinline__ unsigned short float_to_half(float x) {
  unsigned short bits;
#ifdef SPRNN_SIM
  const _Float16 half = (_Float16)x;
  __builtin_memcpy(&bits, &half, 2);
#else
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#endif
  return bits;
}

__device__ __forceinline__ float bf16_to_float(unsigned short bits) {
  return __uint_as_float((unsigned)bits << 16);
}

// Round to nearest even.
__device__ __forceinline__ unsigned short float_to_bf16(float x) {
#ifdef SPRNN_SIM
  const unsigned bits = __float_as_uint(x);
  if (x != x) return (unsigned short)0x7FFF;
  return (unsigned short)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
#else
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
#endif
}

// a * b + c on two fp16 halves, each rounded once.
__device__ __forceinline__ unsigned fma_half2(unsigned a, unsigned b, unsigned c) {
#ifdef SPRNN_SIM
  unsigned result = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const double x = half_to_float((unsigned short)(a >> shift)), y = half_to_float((unsigned short)(b >> shift));
    const double sum = x * y + half_to_float((unsigned short)(c >> shift));
    const _Float16 half = (_Float16)sum;
    unsigned short bits;
    __builtin_memcpy(&bits, &half, 2);
    result |= (unsigned)bits << shift;
  }
  return result;
#else
  unsigned d;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
#endif
}

// The special function unit: about 2^-11 relative error.
__device__ __forceinline__ float tanh_approx(float x) {
#ifdef SPRNN_SIM
  return tanhf(x);
#else
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

__device__ __forceinline__ float exp2_approx(float x) {
#ifdef SPRNN_SIM
  return exp2f(x);
#else
  float y;
  asm("ex2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

}  // namespace sprnn
