// Every word of PTX that sprnnc uses, each with its meaning on a CPU beside it (SPRNN_SIM).
#pragma once

#ifdef SPRNN_SIM
#define SPRNN_DYNAMIC_SHARED(name) unsigned char* name = sprnn_sim::dynamic_shared()
#define SPRNN_SPIN() sprnn_sim::spin(SPRNN_SIM_HERE)  // a failed poll lets other threads run
#else
#define SPRNN_DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
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

// ---- shared memory

// The address of a place in shared memory, to be added to an offset before load_shared.
__device__ __forceinline__ unsigned shared_address(const void* p) {
#ifdef SPRNN_SIM
  return 0;  // offsets are addresses, from the operand's start
#else
  return (unsigned)__cvta_generic_to_shared(p);
#endif
}

// Loads N words. `start` is where addresses count from on a CPU, and is not looked at on a GPU.
template <int N>
__device__ __forceinline__ Words<N> load_shared(const char* start, unsigned address) {
#ifdef SPRNN_SIM
  return *reinterpret_cast<const Words<N>*>(start + address);
#else
  Words<N> v;
  if constexpr (N == 1) {
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v.w[0]) : "r"(address));
  } else if constexpr (N == 2) {
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(v.w[0]), "=r"(v.w[1]) : "r"(address));
  } else {
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "r"(address));
  }
  return v;
#endif
}

// ---- the copy engine: bulk copies from global into shared memory, and the barrier that counts them in

// To be called by one thread before the block's first barrier.
__device__ __forceinline__ void init_arrival(unsigned long long* arrival) {
#ifdef SPRNN_SIM
  *arrival = 0;
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"((unsigned)__cvta_generic_to_shared(arrival)) : "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Announces `bytes` bytes of copies; the arrival is complete when all of them are in shared memory.
__device__ __forceinline__ void expect_bytes(unsigned long long* arrival, unsigned bytes) {
#ifdef SPRNN_SIM
  *arrival += bytes;  // the low half counts bytes under way, the high half completed arrivals
#else
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                   (unsigned)__cvta_generic_to_shared(arrival)), "r"(bytes) : "memory");
#endif
}

// Copies `bytes` bytes, a multiple of 16 as both addresses are.
__device__ __forceinline__ void copy_bulk(Words<4>* to, const Words<4>* from, unsigned bytes,
                                          unsigned long long* arrival) {
#ifdef SPRNN_SIM
  for (unsigned i = 0; i < bytes / 16; ++i) to[i] = from[i];
  *arrival -= bytes;
  if ((unsigned)*arrival == 0) *arrival += 1ull << 32;
#else
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          (unsigned)__cvta_generic_to_shared(to)),
      "l"(from), "r"(bytes), "r"((unsigned)__cvta_generic_to_shared(arrival)) : "memory");
#endif
}

// Waits for the copies of one arrival; `parity` alternates from 0. Copies always end, so this does.
__device__ __forceinline__ void wait_for_copies(unsigned long long* arrival, unsigned parity) {
#ifdef SPRNN_SIM
  while ((*arrival >> 32 & 1) == parity) SPRNN_SPIN();
#else
  unsigned done = 0;
  while (!done) {
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n"
        "}"
        : "=r"(done) : "r"((unsigned)__cvta_generic_to_shared(arrival)), "r"(parity) : "memory");
  }
#endif
}

// ---- order and time

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

// Values of step `t`, of `size` a step: all threads ask for the same address, so that it costs no thread anything.
template <class Value>
__device__ __forceinline__ Value* of_step(Value* values, int t, int size) {
  return values + (size_t)t * size;
}

// Asks for a line to be brought into L2, some steps before it is read.
__device__ __forceinline__ void prefetch_l2(const float* p) {
#ifndef SPRNN_SIM
  asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
#endif
}

// Lets CYCLES cycles of this SM go by.
template <int CYCLES>
__device__ __forceinline__ void pause_cycles() {
#ifndef SPRNN_SIM
  if constexpr (CYCLES > 0) {
    const unsigned start = clock();
    while ((unsigned)clock() - start < CYCLES) {
    }
  }
#endif
}

// Makes the compiler believe that `word` changes here, at no cost.
template <class Word>
__device__ __forceinline__ void opaque(Word& word) {
  asm volatile("" : "+r"(word));
}
__device__ __forceinline__ void opaque(float& x) {
#ifndef SPRNN_SIM
  asm volatile("" : "+f"(x));
#endif
}

// One lane of a warp whose lanes are all here; the compiler knows that it is one.
__device__ __forceinline__ bool elect_lane() {
#ifdef SPRNN_SIM
  return threadIdx.x % 32 == 0;
#else
  unsigned elected;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "elect.sync _|p, 0xFFFFFFFF;\n"
      "selp.u32 %0, 1, 0, p;\n"
      "}"
      : "=r"(elected));
  return elected;
#endif
}

// ---- numbers

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

// Two numbers rounded to nearest even, `low` in the low half of a word.
__device__ __forceinline__ unsigned floats_to_halves(float low, float high) {
#ifdef SPRNN_SIM
  return float_to_half(low) | (unsigned)float_to_half(high) << 16;
#else
  unsigned word;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
#endif
}

__device__ __forceinline__ unsigned floats_to_bf16s(float low, float high) {
#ifdef SPRNN_SIM
  return float_to_bf16(low) | (unsigned)float_to_bf16(high) << 16;
#else
  unsigned word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
#endif
}

// The high half of a word in both halves, as a word of its own.
__device__ __forceinline__ unsigned high_half_twice(unsigned word) {
#ifdef SPRNN_SIM
  return word >> 16 | (word & 0xFFFF0000u);
#else
  unsigned twice;
  asm("prmt.b32 %0, %1, 0, 0x3232;" : "=r"(twice) : "r"(word));
  return twice;
#endif
}

// The same as a way of reading `word`, which costs no instruction: one on two halves may read one of them
// twice. Such instructions all go to one of the two pipes that multiply halves.
__device__ __forceinline__ unsigned high_half_in_place(unsigned word) {
#ifdef SPRNN_SIM
  return high_half_twice(word);
#else
  unsigned twice;
  asm("{\n"
      ".reg .b16 low, high;\n"
      "mov.b32 {low, high}, %1;\n"
      "mov.b32 %0, {high, high};\n"
      "}"
      : "=r"(twice) : "r"(word));
  return twice;
#endif
}

// The same two of the low half.
__device__ __forceinline__ unsigned low_half_twice(unsigned word) {
#ifdef SPRNN_SIM
  return word << 16 | (word & 0xFFFFu);
#else
  unsigned twice;
  asm("prmt.b32 %0, %1, 0, 0x1010;" : "=r"(twice) : "r"(word));
  return twice;
#endif
}

__device__ __forceinline__ unsigned low_half_in_place(unsigned word) {
#ifdef SPRNN_SIM
  return low_half_twice(word);
#else
  unsigned twice;
  asm("{\n"
      ".reg .b16 low, high;\n"
      "mov.b32 {low, high}, %1;\n"
      "mov.b32 %0, {low, low};\n"
      "}"
      : "=r"(twice) : "r"(word));
  return twice;
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

// a + b on two fp16 halves, each rounded once.
__device__ __forceinline__ unsigned add_half2(unsigned a, unsigned b) {
#ifdef SPRNN_SIM
  return fma_half2(a, 0x3C003C00u, b);  // times one
#else
  unsigned d;
  asm("add.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
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
