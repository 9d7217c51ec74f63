// The sparse product: every lane multiplies one non-zero a slot with all batch columns of one
// operand position, and keeps its partial sums in registers until the lanes of a row are added up.
#pragma once

namespace sprnn {

// One slot of one lane in 4 bytes: the value's 16 bits above where its position is, in UNITs of bytes.
// EACH_STEP: it is taken apart in every step, so that doing without an instruction counts.
template <int UNIT, bool EACH_STEP>
struct NarrowSlot {
  static constexpr int words = 1;
  unsigned word;
  static __device__ __forceinline__ NarrowSlot at(const unsigned* words, int slot) { return {words[slot]}; }
  template <class Storage>
  __device__ __forceinline__ float value() const { return Storage::decode(word >> 16); }
  __device__ __forceinline__ unsigned value_twice() const {
    return EACH_STEP ? high_half_in_place(word) : high_half_twice(word);
  }
  __device__ __forceinline__ unsigned offset() const { return (word & 0xFFFFu) * UNIT; }
  // Whether offsets may become addresses for good: a field of bytes has room for the operand's own.
  static constexpr bool holds_address = UNIT == 1;
};

// One slot of one lane in 8 bytes: the value's bits, then where its position is, in UNITs of bytes.
template <int UNIT, bool EACH_STEP>
struct WideSlot {
  static constexpr int words = 2;
  unsigned bits, where;
  static __device__ __forceinline__ WideSlot at(const unsigned* words, int slot) {
    return {words[2 * slot], words[2 * slot + 1]};
  }
  template <class Storage>
  __device__ __forceinline__ float value() const { return Storage::decode(bits); }
  __device__ __forceinline__ unsigned value_twice() const { return high_half_twice(bits << 16); }
  __device__ __forceinline__ unsigned offset() const { return where * UNIT; }
  static constexpr bool holds_address = UNIT == 1;
};

// Loads WORDS words of this lane in runs of 16 bytes; a warp's lanes lie side by side.
template <int WORDS>
__device__ __forceinline__ void load_words(unsigned (&words)[WORDS], const Words<4>* lane_words) {
#pragma unroll
  for (int i = 0; i < WORDS / 4; ++i) {
    const Words<4> run = lane_words[i * 32];
#pragma unroll
    for (int j = 0; j < 4; ++j) words[4 * i + j] = run.w[j];
  }
}

// Turns the offsets of slots into addresses, which spares an addition a slot and step.
template <class Slot, int WORDS>
__device__ __forceinline__ void offsets_to_addresses(unsigned (&words)[WORDS], unsigned operand_address) {
  if constexpr (Slot::holds_address) {
#pragma unroll
    for (int i = Slot::words - 1; i < WORDS; i += Slot::words) words[i] += operand_address;
  }
}

// Keeps a compiler from unpacking the slots before the loop, which would take a second register each.
template <int WORDS>
__device__ __forceinline__ void keep_packed(unsigned (&words)[WORDS]) {
#pragma unroll
  for (int i = 0; i < WORDS; ++i) opaque(words[i]);
}

// The operand in shared memory: [GROUPS][POSITIONS][WIDTH] columns, so that one load of
// `row_words` words gives WIDTH adjacent batch columns of one position. `base` is its address, or
// zero where the slots hold addresses already.
template <class Storage, int WIDTH, int GROUPS, int POSITIONS>
struct Operand {
  static constexpr int row_words = WIDTH / Storage::columns_per_word;
  const char* start;
  unsigned base;

  // The columns of the position that lies `offset` bytes into a group.
  __device__ __forceinline__ Words<row_words> load(int group, unsigned offset) const {
    return load_shared<row_words>(start, base + offset + group * (POSITIONS * row_words * 4));
  }
};

// Zeroes the positions from COLUMNS on: the null positions, which padding slots read, and those that
// align the next group. Nothing writes them afterwards.
template <class Storage, int WIDTH, int GROUPS, int COLUMNS, int POSITIONS>
__device__ __forceinline__ void zero_padding(unsigned* operand) {
  constexpr int row_words = WIDTH / Storage::columns_per_word;
  constexpr int zeros = (POSITIONS - COLUMNS) * row_words;
  for (int i = threadIdx.x; i < GROUPS * zeros; i += blockDim.x) {
    operand[(i / zeros * POSITIONS + COLUMNS) * row_words + i % zeros] = 0;
  }
}

// Adds up the LANES lanes of each row, of one column group; returns the total of column k % WIDTH in lane k.
// Recursive halving: in each of the first log2(WIDTH) rounds a lane gives away half of its columns,
// so a row costs (WIDTH - 1) + log2(LANES / WIDTH) shuffles instead of WIDTH * log2(LANES).
template <int LANES, int WIDTH>
__device__ __forceinline__ float add_lanes(float (&sum)[WIDTH], int lane) {
#pragma unroll
  for (int half = WIDTH / 2; half >= 1; half /= 2) {
    const bool upper = lane & half;
#pragma unroll
    for (int c = 0; c < half; ++c) {
      const float give = upper ? sum[c] : sum[c + half];
      const float keep = upper ? sum[c + half] : sum[c];
      sum[c] = keep + __shfl_xor_sync(0xFFFFFFFFu, give, half);
    }
  }
#pragma unroll
  for (int distance = WIDTH; distance < LANES; distance *= 2) {
    sum[0] += __shfl_xor_sync(0xFFFFFFFFu, sum[0], distance);
  }
  return sum[0];
}

// Partial sums of one lane for one row, accumulated in fp32.
template <class Storage, int WIDTH, int GROUPS>
struct FloatSums {
  float sum[GROUPS][WIDTH] = {};
  // Slots between two looks at whether there are more of them.
  static __device__ constexpr int run(int) { return 8; }

  template <class Slot, class Source>
  __device__ __forceinline__ void add(Slot slot, int, const Source& operand) {
    const float value = slot.template value<Storage>();
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
      const auto columns = operand.load(g, slot.offset());
#pragma unroll
      for (int c = 0; c < WIDTH; ++c) sum[g][c] += value * column<Storage>(columns, c);
    }
  }
  __device__ __forceinline__ void join() {}

  // No later load is made before all that was added so far is summed up, which bounds the registers in use.
  __device__ __forceinline__ void settle() {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
      for (int c = 0; c < WIDTH; ++c) opaque(sum[g][c]);
    }
  }

  // The totals of the LANES lanes of a row: of column k % WIDTH in lane k.
  template <int LANES>
  __device__ __forceinline__ void total(int lane, float* totals) {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) totals[g] = add_lanes<LANES>(sum[g], lane);
  }
};

// The same with fp16 products and sums, two columns an instruction. Slots alternate between two chains of at
// most `chain` additions, which bounds their rounding errors; then both join the fp32 sums.
template <class Storage, int WIDTH, int GROUPS>
struct HalfSums {
  float sum[GROUPS][WIDTH] = {};
  unsigned chains[GROUPS][WIDTH / 2][2] = {};
  static __device__ constexpr int run(int chain) { return 2 * chain; }

  template <class Slot, class Source>
  __device__ __forceinline__ void add(Slot slot, int turn, const Source& operand) {
    const unsigned value = slot.value_twice();
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
      const auto columns = operand.load(g, slot.offset());
#pragma unroll
      for (int c = 0; c < WIDTH / 2; ++c) {
        chains[g][c][turn % 2] = fma_half2(value, columns.w[c], chains[g][c][turn % 2]);
      }
    }
  }

  __device__ __forceinline__ void join() {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
      for (int c = 0; c < WIDTH / 2; ++c) {
        unsigned(&chain)[2] = chains[g][c];
        const unsigned both = add_half2(chain[0], chain[1]);
        sum[g][2 * c] += half_to_float((unsigned short)both);
        sum[g][2 * c + 1] += half_to_float((unsigned short)(both >> 16));
        chain[0] = chain[1] = 0;
      }
    }
  }

  __device__ __forceinline__ void settle() {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
      for (int c = 0; c < WIDTH; ++c) opaque(chains[g][c / 2][c % 2]);
    }
  }

  template <int LANES>
  __device__ __forceinline__ void total(int lane, float* totals) {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) totals[g] = add_lanes<LANES>(sum[g], lane);
  }
};

// Slots in registers: FIRST, COUNT and the index `i` are constants once the loops are unrolled, so that
// `words` never needs an address. A warp needs the first `used` of the COUNT slots, never fewer than SURE.
// At most IN_FLIGHT loads are under way at once.
template <class Slot, int FIRST, int COUNT, int SURE, int CHAIN, int IN_FLIGHT, int WORDS, class Sums, class Source>
__device__ __forceinline__ void gather_registers(Sums& sums, const unsigned (&words)[WORDS], int i,
                                                 int used, const Source& operand) {
  constexpr int run = Sums::run(CHAIN);
#pragma unroll
  for (int s = 0; s < COUNT; s += run) {
    if (s >= SURE && s >= used) break;
#pragma unroll
    for (int j = s; j < s + run && j < COUNT; ++j) {
      sums.add(Slot::at(words, FIRST + i * COUNT + j), j, operand);
      if ((j + 1) % IN_FLIGHT == 0) sums.settle();
    }
    sums.join();
  }
}

// The slots of one 16-byte load.
template <class Slot, class Sums, class Source>
__device__ __forceinline__ void gather_quad(Sums& sums, const Words<4>& quad, const Source& operand) {
#pragma unroll
  for (int j = 0; j < 4 / Slot::words; ++j) sums.add(Slot::at(quad.w, j), j, operand);
}

// Slots in shared memory; `quads` points at this lane's first load. Up to UNROLL of these loads are under way at
// once, and up to IN_FLIGHT of the operand.
template <class Slot, int COUNT, int CHAIN, int UNROLL, int IN_FLIGHT, class Sums, class Source>
__device__ __forceinline__ void gather_shared(Sums& sums, const Words<4>* quads, int used,
                                              const Source& operand) {
  constexpr int slots = 4 / Slot::words;
  constexpr int most = Sums::run(CHAIN) / slots;
  constexpr int loads = most < 1 ? 1 : most < UNROLL ? most : UNROLL;
  const int end = COUNT < used ? COUNT : used;
#pragma unroll 1
  for (int s = 0; s < end; s += loads * slots) {
    Words<4> quad[loads];
#pragma unroll
    for (int q = 0; q < loads; ++q) {
      if (s + q * slots < end) quad[q] = quads[(s / slots + q) * 32];
    }
#pragma unroll
    for (int q = 0; q < loads; ++q) {
      if (s + q * slots < end) gather_quad<Slot>(sums, quad[q], operand);
      if ((q + 1) * slots % IN_FLIGHT == 0) sums.settle();
    }
    sums.join();
  }
}

// Slots in global memory. The first AHEAD loads of the whole tier were made before the block waited;
// this segment begins with load FIRST.
template <class Slot, int FIRST, int COUNT, int UNROLL, int AHEAD, class Sums, class Source>
__device__ __forceinline__ void gather_streamed(Sums& sums, const Words<4>* quads,
                                                const Words<4> (&ahead)[AHEAD], int used,
                                                const Source& operand) {
  constexpr int slots = 4 / Slot::words;
  constexpr int loads = (COUNT + slots - 1) / slots;
  constexpr int here = AHEAD - FIRST < 0 ? 0 : AHEAD - FIRST < loads ? AHEAD - FIRST : loads;
#pragma unroll
  for (int q = 0; q < here; ++q) {
    if (q * slots >= used) break;
    gather_quad<Slot>(sums, ahead[FIRST + q], operand);
    sums.join();
  }
#pragma unroll UNROLL
  for (int q = here; q < loads && q * slots < used; ++q) {
    gather_quad<Slot>(sums, quads[(FIRST + q) * 32], operand);
    sums.join();
  }
}

}  // namespace sprnn
