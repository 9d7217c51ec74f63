// What lies between the layers of a network: joins of streams, and rows of tables.
#pragma once

// to[t][b][first + i] = from[t][b][i] for a stream of `size` values a step and column and a row of
// `width`; with `add`, +=; with `turn`, from each column's last step to its first. Past a column's length (all steps
// where `lengths` is null, which count from `before` steps earlier) what is joined is zero, whatever lies there. A block takes a row at a time.
extern "C" __global__ void __launch_bounds__(256)
join_columns(const float* from, float* to, const int* lengths, int before, int steps, int batch, int size, int width,
             int first, int turn, int add) {
  const long long rows = (long long)steps * batch;
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
    const long long t = row / batch, b = row % batch;
    const long long left = lengths ? lengths[b] - before : steps;
    const long long end = left < steps ? left : steps;
    const bool ended = t >= end;
    const float* source = from + ((turn && !ended ? end - 1 - t : t) * batch + b) * size;
    float* target = to + row * width + first;
    for (int i = threadIdx.x; i < size; i += blockDim.x) {
      const float value = ended ? 0.0f : source[i];
      target[i] = add ? target[i] + value : value;
    }
  }
}

// to[t][b] = table[numbers[t][b]] for a table of `known` rows; NaN for what is no row's number.
extern "C" __global__ void __launch_bounds__(256)
look_up(const float* numbers, const float* table, float* to, int steps, int batch, int size, int known) {
  const long long rows = (long long)steps * batch;
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
    const float number = numbers[row];
    const bool found = number >= 0.0f && number < (float)known;
    const float* source = table + (found ? (long long)number * size : 0);
    for (int i = threadIdx.x; i < size; i += blockDim.x) {
      to[row * size + i] = found ? source[i] : __uint_as_float(0x7FC00000u);
    }
  }
}
