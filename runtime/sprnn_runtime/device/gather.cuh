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

  // The columns of RUN adjacent positions: those of a tile's load `turn`, if load 0 lies `offset` bytes into a
  // group. The operand begins with a line, so that an address may be turned as well as an offset.
  template <int RUN>
  __device__ __forceinline__ Words<RUN * row_words> load_turn(int group, unsigned offset, int turn) const {
    const unsigned turned = offset ^ (turn * (RUN * row_words * 4));
    return load_shared<RUN * row_words>(start, base + turned + group * (POSITIONS * row_words * 4));
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

// A lane gives half of its 2 * HALF sums away and adds to the others what its partner gives, and so on with
// half as many. A template and no loop, so that `sum` has constant indices however long it is.
template <int HALF, int WIDTH>
__device__ __forceinline__ void halve_sums(float (&sum)[WIDTH], int lane) {
  if constexpr (HALF >= 1) {
    const bool upper = lane & HALF;
#pragma unroll
    for (int c = 0; c < HALF; ++c) {
      const float give = upper ? sum[c] : sum[c + HALF];
      const float keep = upper ? sum[c + HALF] : sum[c];
      sum[c] = keep + __shfl_xor_sync(0xFFFFFFFFu, give, HALF);
    }
    halve_sums<HALF / 2>(sum, lane);
  }
}

// Adds up the LANES lanes of each row, of one column group; returns the total of column k % WIDTH in lane k.
// Recursive halving: in each of the first log2(WIDTH) rounds a lane gives away half of its columns,
// so a row costs (WIDTH - 1) + log2(LANES / WIDTH) shuffles instead of WIDTH * log2(LANES).
template <int LANES, int WIDTH>
__device__ __forceinline__ float add_lanes(float (&sum)[WIDTH], int lane) {
  halve_sums<WIDTH / 2>(sum, lane);
#pragma unroll
  for (int distance = WIDTH; distance < LANES; distance *= 2) {
    sum[0] += __shfl_xor_sync(0xFFFFFFFFu, sum[0], distance);
  }
  return sum[0];
}

// No later load is made before all that was added so far is summed up, which bounds the registers in use.
__device__ __forceinline__ void settle_all(float& sum) { opaque(sum); }
__device__ __forceinline__ void settle_all(unsigned& chain) { opaque(chain); }
template <class Sum, int N>
__device__ __forceinline__ void settle_all(Sum (&sums)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) settle_all(sums[i]);
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

  __device__ __forceinline__ void settle() { settle_all(sum); }

  // The totals of the LANES lanes of a row: of column k % WIDTH in lane k.
  template <int LANES>
  __device__ __forceinline__ void total(int lane, float* totals) {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) totals[g] = add_lanes<LANES>(sum[g], lane);
  }
};

// Joins pairs of fp16 chains, two columns a word, to the fp32 sums, and begins them again.
template <int SUMS>
__device__ __forceinline__ void join_chains(float (&sum)[SUMS], unsigned (&chains)[SUMS / 2][2]) {
#pragma unroll
  for (int c = 0; c < SUMS / 2; ++c) {
    unsigned(&chain)[2] = chains[c];
    const unsigned both = add_half2(chain[0], chain[1]);
    sum[2 * c] += half_to_float((unsigned short)both);
    sum[2 * c + 1] += half_to_float((unsigned short)(both >> 16));
    chain[0] = chain[1] = 0;
  }
}

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
    for (int g = 0; g < GROUPS; ++g) join_chains(sum[g], chains[g]);
  }

  __device__ __forceinline__ void settle() { settle_all(chains); }

  template <int LANES>
  __device__ __forceinline__ void total(int lane, float* totals) {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) totals[g] = add_lanes<LANES>(sum[g], lane);
  }
};

// Slots in registers: FIRST, COUNT and the index `i` are constants once the loops are unrolled, so that
// `words` never needs an address. A warp needs the first `used` of the COUNT slots, never fewer than SURE.
// The loads of at most IN_FLIGHT slots are under way at once.
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

// A run: as many slots as whole 16-byte loads hold without a rest.
template <class Slot>
struct SlotRun {
  static constexpr int slots = Slot::words % 4 == 0 ? 1 : Slot::words % 2 == 0 ? 2 : 4;
  static constexpr int loads = slots * Slot::words / 4;
};

// The next SLOTS slots, whole runs from slot `s` on, which is before `end`; `load(0)`, `load(1)`, ... bring their
// words. Those from `end` on do not count, but where they share a load with others they may run: they add nothing.
template <class Slot, int SLOTS, int CHAIN, int IN_FLIGHT, class Sums, class Source, class Load>
__device__ __forceinline__ void gather_loaded(Sums& sums, int s, int end, const Source& operand,
                                              const Load& load) {
  constexpr int loads = SLOTS * Slot::words / 4;
  constexpr int step = 4 % Slot::words == 0 ? 4 / Slot::words : 1;
  unsigned words[4 * loads];
#pragma unroll
  for (int i = 0; i < loads; ++i) {
    if (i == 0 || s + 4 * i / Slot::words < end) {
      const Words<4> quad = load(i);
#pragma unroll
      for (int j = 0; j < 4; ++j) words[4 * i + j] = quad.w[j];
    }
  }
#pragma unroll
  for (int first = 0; first < SLOTS; first += step) {
    if (first > 0 && s + first >= end) break;  // a branch a load and no more: those in between overlap
#pragma unroll
    for (int j = first; j < first + step; ++j) {
      sums.add(Slot::at(words, j), j, operand);
      if ((j + 1) % IN_FLIGHT == 0) sums.settle();
      if ((j + 1) % Sums::run(CHAIN) == 0 && j + 1 < SLOTS) sums.join();
    }
  }
  sums.join();
}

// Slots in shared memory; `quads` points at this lane's first load. Up to UNROLL of these loads are under way at
// once, and those of the operand for up to IN_FLIGHT slots.
template <class Slot, int COUNT, int CHAIN, int UNROLL, int IN_FLIGHT, class Sums, class Source>
__device__ __forceinline__ void gather_shared(Sums& sums, const Words<4>* quads, int used,
                                              const Source& operand) {
  constexpr int slots = SlotRun<Slot>::slots, loads = SlotRun<Slot>::loads;
  constexpr int most = Sums::run(CHAIN) / slots < UNROLL / loads ? Sums::run(CHAIN) / slots : UNROLL / loads;
  constexpr int runs = most < 1 ? 1 : most;
  const int end = COUNT < used ? COUNT : used;
#pragma unroll 1
  for (int s = 0; s < end; s += runs * slots) {
    gather_loaded<Slot, runs * slots, CHAIN, IN_FLIGHT>(sums, s, end, operand,
                                                        [&](int i) { return quads[(s / slots * loads + i) * 32]; });
  }
}

// Slots in global memory. The first AHEAD loads of the whole tier were made before the block waited;
// this segment begins with load FIRST.
template <class Slot, int FIRST, int COUNT, int CHAIN, int UNROLL, int AHEAD, class Sums, class Source>
__device__ __forceinline__ void gather_streamed(Sums& sums, const Words<4>* quads,
                                                const Words<4> (&ahead)[AHEAD], int used,
                                                const Source& operand) {
  constexpr int slots = SlotRun<Slot>::slots, loads = SlotRun<Slot>::loads;
  constexpr int runs = (COUNT + slots - 1) / slots;
  constexpr int begun = AHEAD <= FIRST ? 0 : (AHEAD - FIRST + loads - 1) / loads;  // by loads made ahead
  constexpr int here = begun < runs ? begun : runs;
  constexpr int unroll = UNROLL < loads ? 1 : UNROLL / loads;
  const int end = COUNT < used ? COUNT : used;
#pragma unroll
  for (int q = 0; q < here; ++q) {
    if (q * slots >= used) break;
    gather_loaded<Slot, slots, CHAIN, slots>(sums, q * slots, end, operand, [&](int i) {
      const int at = FIRST + q * loads + i;
      return at < AHEAD ? ahead[at] : quads[at * 32];
    });
  }
#pragma unroll unroll
  for (int q = here; q < runs && q * slots < used; ++q) {
    gather_loaded<Slot, slots, CHAIN, slots>(sums, q * slots, end, operand,
                                             [&](int i) { return quads[(FIRST + q * loads + i) * 32]; });
  }
}

}  // namespace sprnn
