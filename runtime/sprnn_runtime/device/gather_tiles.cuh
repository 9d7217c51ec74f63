// The sparse product where one index serves a tile: a lane loads the operand's positions of ROWS x COLUMNS
// values once, and multiplies them by the values of every row.
#pragma once

namespace sprnn {

// One slot of one lane: the tile's values, row by row, then where the first load of its operand is, in bytes.
// A load brings RUN adjacent positions. Loads are made in the order where ^ 0, where ^ 1, ... so that lanes
// which begin in different banks stay apart; the values of a row lie in that order too.
template <class Storage, int ROWS, int COLUMNS, int RUN, bool EACH_STEP>
struct TileSlot {
  static constexpr int columns = COLUMNS, run = RUN, loads = COLUMNS / RUN;
  static constexpr int per_word = Storage::columns_per_word;
  static constexpr int value_words = ROWS * COLUMNS / per_word;
  static constexpr int words = value_words + 1;
  static constexpr bool holds_address = true;  // a whole word has room for the operand's own
  unsigned bits[value_words];
  unsigned where;

  static __device__ __forceinline__ TileSlot at(const unsigned* from, int slot) {
    TileSlot s;
#pragma unroll
    for (int i = 0; i < value_words; ++i) s.bits[i] = from[slot * words + i];
    s.where = from[slot * words + value_words];
    return s;
  }
  __device__ __forceinline__ float value(int row, int column) const {
    const int i = row * COLUMNS + column;
    return Storage::decode(bits[i / per_word] >> (16 * (i % per_word)));
  }
  __device__ __forceinline__ unsigned value_twice(int row, int column) const {
    const int i = row * COLUMNS + column;
    const unsigned word = bits[i / 2];
    if (i % 2) return EACH_STEP ? high_half_in_place(word) : high_half_twice(word);
    return EACH_STEP ? low_half_in_place(word) : low_half_twice(word);
  }
};

// Partial sums of one lane for ROWS rows, accumulated in fp32: those of a row lie side by side.
template <class Storage, int ROWS, int COLUMNS, int WIDTH, int GROUPS>
struct TileFloatSums {
  float sum[GROUPS][ROWS * WIDTH] = {};
  // Slots between two looks at whether there are more of them: about as many values as FloatSums takes.
  static __device__ constexpr int run(int) { return 8 < ROWS * COLUMNS ? 1 : 8 / (ROWS * COLUMNS); }

  template <class Slot, class Source>
  __device__ __forceinline__ void add(const Slot& slot, int, const Source& operand) {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
      for (int l = 0; l < Slot::loads; ++l) {
        const auto run = operand.template load_turn<Slot::run>(g, slot.where, l);
#pragma unroll
        for (int p = 0; p < Slot::run; ++p) {
#pragma unroll
          for (int r = 0; r < ROWS; ++r) {
            const float value = slot.value(r, l * Slot::run + p);
#pragma unroll
            for (int c = 0; c < WIDTH; ++c) sum[g][r * WIDTH + c] += value * column<Storage>(run, p * WIDTH + c);
          }
        }
      }
    }
  }
  __device__ __forceinline__ void join() {}
  __device__ __forceinline__ void settle() { settle_all(sum); }

  // The totals of the LANES lanes of a row: of row k / WIDTH and column k % WIDTH in lane k.
  template <int LANES>
  __device__ __forceinline__ void total(int lane, float* totals) {
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) totals[g] = add_lanes<LANES>(sum[g], lane);
  }
};

// The same with fp16 products and sums, two columns an instruction: see HalfSums. The columns of a tile, one
// slot after the other, alternate between the two chains.
template <class Storage, int ROWS, int COLUMNS, int WIDTH, int GROUPS>
struct TileHalfSums {
  float sum[GROUPS][ROWS * WIDTH] = {};
  unsigned chains[GROUPS][ROWS * WIDTH / 2][2] = {};
  static __device__ constexpr int run(int chain) { return 2 * chain < COLUMNS ? 1 : 2 * chain / COLUMNS; }

  template <class Slot, class Source>
  __device__ __forceinline__ void add(const Slot& slot, int turn, const Source& operand) {
    constexpr int pairs = WIDTH / 2;
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
#pragma unroll
      for (int l = 0; l < Slot::loads; ++l) {
        const auto run = operand.template load_turn<Slot::run>(g, slot.where, l);
#pragma unroll
        for (int p = 0; p < Slot::run; ++p) {
#pragma unroll
          for (int r = 0; r < ROWS; ++r) {
            const unsigned value = slot.value_twice(r, l * Slot::run + p);
#pragma unroll
            for (int c = 0; c < pairs; ++c) {
              unsigned& chain = chains[g][r * pairs + c][(turn * COLUMNS + l * Slot::run + p) % 2];
              chain = fma_half2(value, run.w[p * pairs + c], chain);
            }
          }
        }
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

}  // namespace sprnn
