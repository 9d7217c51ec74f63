// Products of the inputs, for all steps at once: out[t][row][b] = sum_k weight[row][k] * operand(t, b, k).
#pragma once

namespace sprnn {

// One 32 x 32 tile of (row, t * BATCH + b) a block at a time, 256 threads, four rows a thread.
// `weight` holds Storage bits, two to a word for 16-bit types, rows padded to whole words.
template <class Storage, int ROWS, int COLS, int BATCH, class OperandAt>
__device__ __forceinline__ void input_product(const unsigned* weight, OperandAt operand_at,
                                              float* out, int steps) {
  constexpr int TILE = 32;
  constexpr int row_words = (COLS + Storage::columns_per_word - 1) / Storage::columns_per_word;
  float(*weight_tile)[TILE + 1] = nullptr;
  SPRNN_DYNAMIC_SHARED(shared);
  weight_tile = reinterpret_cast<float(*)[TILE + 1]>(shared);
  float(*operand_tile)[TILE + 1] = weight_tile + TILE;
  const int columns = steps * BATCH;
  const int row_tiles = (ROWS + TILE - 1) / TILE;
  const int tiles = row_tiles * ((columns + TILE - 1) / TILE);
  const int x = threadIdx.x % TILE, y = threadIdx.x / TILE;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int row0 = tile % row_tiles * TILE, column0 = tile / row_tiles * TILE;
    float sum[4] = {};
    for (int k0 = 0; k0 < COLS; k0 += TILE) {
      for (int i = y; i < TILE; i += 8) {
        const int row = row0 + i, column = column0 + i, k = k0 + x;
        float w = 0.0f, v = 0.0f;
        if (row < ROWS && k < COLS) {
          const unsigned word = weight[row * row_words + k / Storage::columns_per_word];
          w = Storage::decode(Storage::columns_per_word == 1 ? word : (word >> (16 * (k % 2))) & 0xFFFFu);
        }
        if (column < columns && k < COLS) v = operand_at(column / BATCH, column % BATCH, k);
        weight_tile[i][x] = w;
        operand_tile[i][x] = v;
      }
      __syncthreads();  // both tiles are complete before any thread multiplies
      for (int k = 0; k < TILE; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float w = weight_tile[y + 8 * i][k];
          if (w != 0.0f) sum[i] += w * operand_tile[x][k];  // a zero is absent: 0 * Inf would be NaN
        }
      }
      __syncthreads();  // every thread is done with the tiles before the next ones overwrite them
    }
    const int column = column0 + x;
    for (int i = 0; i < 4; ++i) {
      const int row = row0 + y + 8 * i;
      if (row < ROWS && column < columns) {
        out[((size_t)(column / BATCH) * ROWS + row) * BATCH + column % BATCH] = sum[i];
      }
    }
  }
}

}  // namespace sprnn
