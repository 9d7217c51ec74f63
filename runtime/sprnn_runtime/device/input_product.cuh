// Products of the inputs, for all steps at once: out[column][row] = sum_k weight[row][k] * operand(column, k).
#pragma once

namespace sprnn {

// One tile of 64 rows x 64 columns (batch columns of every step) a block at a time: 256 threads, 4 x 4 sums each.
// `weight` holds Storage bits, two to a word for 16-bit types, rows padded to whole words.
template <class Storage, int ROWS, int COLS, class OperandAt>
__device__ __forceinline__ void input_product(const unsigned* weight, OperandAt operand_at,
                                              float* out, int columns) {
  constexpr int TILE = 64, DEPTH = 16, SIDE = 4, LINE = TILE + SIDE;  // lines are padded against bank conflicts
  constexpr int row_words = (COLS + Storage::columns_per_word - 1) / Storage::columns_per_word;
  SPRNN_DYNAMIC_SHARED(shared);
  float(*weight_tile)[LINE] = reinterpret_cast<float(*)[LINE]>(shared);  // [k][row]
  float(*operand_tile)[LINE] = weight_tile + DEPTH;                     // [k][column]
  const int row_tiles = (ROWS + TILE - 1) / TILE;
  const int tiles = row_tiles * ((columns + TILE - 1) / TILE);
  const int my_rows = threadIdx.x % (TILE / SIDE) * SIDE, my_columns = threadIdx.x / (TILE / SIDE) * SIDE;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int row0 = tile % row_tiles * TILE, column0 = tile / row_tiles * TILE;
    float sum[SIDE][SIDE] = {};  // [row][column]
    for (int k0 = 0; k0 < COLS; k0 += DEPTH) {
      for (int i = threadIdx.x; i < TILE * DEPTH; i += blockDim.x) {
        const int k = k0 + i % DEPTH, row = row0 + i / DEPTH, column = column0 + i / DEPTH;
        float w = 0.0f, v = 0.0f;
        if (row < ROWS && k < COLS) {
          const unsigned word = weight[row * row_words + k / Storage::columns_per_word];
          w = Storage::decode(Storage::columns_per_word == 1 ? word : (word >> (16 * (k % 2))) & 0xFFFFu);
        }
        if (column < columns && k < COLS) v = operand_at(column, k);
        weight_tile[i % DEPTH][i / DEPTH] = w;
        operand_tile[i % DEPTH][i / DEPTH] = v;
      }
      __syncthreads();  // both tiles are complete before any thread multiplies
#pragma unroll
      for (int k = 0; k < DEPTH; ++k) {
#pragma unroll
        for (int i = 0; i < SIDE; ++i) {
          const float w = weight_tile[k][my_rows + i];
#pragma unroll
          for (int j = 0; j < SIDE; ++j) {
            if (w != 0.0f) sum[i][j] += w * operand_tile[k][my_columns + j];  // a zero is absent: 0 * Inf is NaN
          }
        }
      }
      __syncthreads();  // every thread is done with the tiles before the next ones overwrite them
    }
    for (int j = 0; j < SIDE; ++j) {
      const int column = column0 + my_columns + j;
      for (int i = 0; i < SIDE; ++i) {
        const int row = row0 + my_rows + i;
        if (row < ROWS && column < columns) out[(size_t)column * ROWS + row] = sum[i][j];
      }
    }
  }
}

}  // namespace sprnn
