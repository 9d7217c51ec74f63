// The sparse product: every lane multiplies one non-zero a slot with all batch columns of one
// operand position, and keeps its partial sums in registers.
#pragma once

namespace sprnn {

// One slot of one lane in 4 bytes: the value's 16 bits above a 16-bit operand position.
struct NarrowSlot {
  static constexpr int words = 1;
  unsigned word;
  static __device__ __forceinline__ NarrowSlot load(const unsigned* p) { return {p[0]}; }
  __device__ __forceinline__ unsigned value() const { return word >> 16; }
  __device__ __forceinline__ unsigned position() const { return word & 0xFFFFu; }
};

// One slot of one lane in 8 bytes: the value's bits, then a 32-bit operand position.
// The 32 lanes' values lie together, then their positions: both loads are free of bank conflicts.
struct WideSlot {
  static constexpr int words = 2;
  unsigned bits, at;
  static __device__ __forceinline__ WideSlot load(const unsigned* p) { return {p[0], p[32]}; }
  __device__ __forceinline__ unsigned value() const { return bits; }
  __device__ __forceinline__ unsigned position() const { return at; }
};

// The operand in shared memory: [GROUPS][POSITIONS][WIDTH] columns, so that one load of
// `row_words` words gives WIDTH adjacent batch columns of one position.
template <class Storage, int WIDTH, int GROUPS, int POSITIONS>
struct Operand {
  static constexpr int row_words = WIDTH / Storage::columns_per_word;
  const Words<row_words>* rows;

  __device__ __forceinline__ Words<row_words> load(int group, unsigned position) const {
    return rows[group * POSITIONS + position];
  }
};

// Zeroes the positions from COLUMNS on: the null position, which padding slots read, and those that
// align the next group. Nothing writes them afterwards.
template <class Storage, int WIDTH, int GROUPS, int COLUMNS, int POSITIONS>
__device__ __forceinline__ void zero_padding(unsigned* operand) {
  constexpr int row_words = WIDTH / Storage::columns_per_word;
  constexpr int zeros = (POSITIONS - COLUMNS) * row_words;
  for (int i = threadIdx.x; i < GROUPS * zeros; i += blockDim.x) {
    operand[(i / zeros * POSITIONS + COLUMNS) * row_words + i % zeros] = 0;
  }
}

// Partial sums of one lane for one row, accumulated in fp32.
template <class Storage, int WIDTH, int GROUPS>
struct FloatSums {
  float sum[GROUPS][WIDTH] = {};

  template <class Slot, class Source>
  __device__ __forceinline__ void add(Slot slot, const Source& operand) {
    const float value = Storage::decode(slot.value());
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
      const auto columns = operand.load(g, slot.position());
#pragma unroll
      for (int c = 0; c < WIDTH; ++c) sum[g][c] += value * column<Storage>(columns, c);
    }
  }
  __device__ __forceinline__ void end_chain() {}
};

// The same with fp16 products and sums, two columns an instruction. A chain of at most CHAIN
// additions is kept in fp16 and then joined to the fp32 sums, which bounds its rounding error.
template <class Storage, int WIDTH, int GROUPS>
struct HalfSums {
  float sum[GROUPS][WIDTH] = {};
  unsigned chain[GROUPS][WIDTH / 2] = {};

  template <class Slot, class Source>
  __device__ __forceinline__ void add(Slot slot, const Source& operand) {
    const unsigned value = slot.value() | (slot.value() << 16);
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
      const auto columns = operand.load(g, slot.position());
#pragma unroll
      for (int c = 0; c < WIDTH / 2; ++c) chain[g][c] = fma_half2(value, columns.w[c], chain[g][c]);
    }
  }
  __device__ __forceinline__ void end_chain() {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
      for (int c = 0; c < WIDTH; ++c) {
        sum[g][c] += half_to_float((unsigned short)(chain[g][c / 2] >> (16 * (c % 2))));
      }
#pragma unroll
      for (int c = 0; c < WIDTH / 2; ++c) chain[g][c] = 0;
    }
  }
};

// Slots that were loaded into registers before the first step; COUNT and FIRST are constants, so
// the loop unrolls and `words` never needs an address.
template <class Slot, int FIRST, int COUNT, int CHAIN, int LENGTH, class Sums, class Source>
__device__ __forceinline__ void gather_registers(Sums& sums, const Slot (&slots)[LENGTH], int row,
                                                 const Source& operand) {
#pragma unroll
  for (int s = 0; s < COUNT; ++s) {
    sums.add(slots[FIRST + row * COUNT + s], operand);
    if (s % CHAIN == CHAIN - 1 || s == COUNT - 1) sums.end_chain();
  }
}

// Slots in shared memory or streamed from global memory; `slots` points at this lane's first one.
template <class Slot, int COUNT, int CHAIN, int UNROLL, class Sums, class Source>
__device__ __forceinline__ void gather_memory(Sums& sums, const unsigned* slots,
                                              const Source& operand) {
#pragma unroll UNROLL
  for (int s = 0; s < COUNT; ++s) {
    sums.add(Slot::load(slots + s * 32 * Slot::words), operand);
    if (s % CHAIN == CHAIN - 1 || s == COUNT - 1) sums.end_chain();
  }
}

// Adds the partial sums of all 32 lanes and stores the row's total of each column.
// Recursive halving: in each of the first log2(WIDTH) rounds a lane gives away half of its columns,
// so a row costs (WIDTH - 1) + (5 - log2 WIDTH) shuffles a group instead of 5 * WIDTH.
template <int WIDTH, int GROUPS>
__device__ __forceinline__ void store_row(float (&sum)[GROUPS][WIDTH], float* totals) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int g = 0; g < GROUPS; ++g) {
    int kept = 0;  // first column that this lane still holds
#pragma unroll
    for (int half = WIDTH / 2, distance = 1; half >= 1; half /= 2, distance *= 2) {
      const bool upper = lane & distance;
#pragma unroll
      for (int c = 0; c < half; ++c) {
        const float give = upper ? sum[g][c] : sum[g][c + half];
        const float keep = upper ? sum[g][c + half] : sum[g][c];
        sum[g][c] = keep + __shfl_xor_sync(0xFFFFFFFFu, give, distance);
      }
      kept += upper ? half : 0;
    }
    float total = sum[g][0];
#pragma unroll
    for (int distance = WIDTH; distance < 32; distance *= 2) {
      total += __shfl_xor_sync(0xFFFFFFFFu, total, distance);
    }
    if (lane < WIDTH) totals[g * WIDTH + kept] = total;
  }
}

}  // namespace sprnn
