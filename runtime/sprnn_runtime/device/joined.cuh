// Products of the inputs in the loop: their operand of every step is laid out before it, as an exchange slot is,
// and lies in shared memory a step before it is multiplied. Nobody waits for another block.
#pragma once

namespace sprnn {

// Lays out COLUMNS values of an operand of LENGTH for all steps at once: [steps][GROUPS][LENGTH][WIDTH] batch
// columns, value `k` at `places[k]`. Columns from `batch` on are zero.
template <class Storage, int COLUMNS, int WIDTH, int GROUPS, int LENGTH, class OperandAt>
__device__ __forceinline__ void lay_out_operand(const int* places, OperandAt operand_at, unsigned* out, int steps,
                                                int batch) {
  constexpr int per_word = Storage::columns_per_word, row_words = WIDTH / per_word;
  Words<row_words>* rows = reinterpret_cast<Words<row_words>*>(out);
  for (int line = blockIdx.x; line < steps * GROUPS; line += gridDim.x) {
    const int t = line / GROUPS, first = line % GROUPS * WIDTH;
    for (int k = threadIdx.x; k < COLUMNS; k += blockDim.x) {
      float value[WIDTH];
#pragma unroll
      for (int c = 0; c < WIDTH; ++c) value[c] = first + c < batch ? operand_at(t * batch + first + c, k) : 0.0f;
      Words<row_words> row;
#pragma unroll
      for (int w = 0; w < row_words; ++w) row.w[w] = Storage::encode(value[w * per_word], value[(w + 1) * per_word - 1]);
      rows[(size_t)line * LENGTH + places[k]] = row;
    }
  }
}

// A thread's chunks of N words of one step's operand, on their way through registers.
template <int GROUPS, int CHUNKS, int PAD, int N, int THREADS>
struct Chunks {
  static constexpr int each = (GROUPS * CHUNKS + THREADS - 1) / THREADS;
  Words<N> chunk[each];

  __device__ __forceinline__ void load(const unsigned* from) {
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int at = i * THREADS + threadIdx.x;
      if (at < GROUPS * CHUNKS) chunk[i] = reinterpret_cast<const Words<N>*>(from)[at];
    }
  }

  // PAD chunks of zeros follow each group.
  __device__ __forceinline__ void store(unsigned* operand) const {
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int at = i * THREADS + threadIdx.x;
      if (at < GROUPS * CHUNKS) reinterpret_cast<Words<N>*>(operand)[at + at / CHUNKS * PAD] = chunk[i];
    }
  }
};

}  // namespace sprnn
