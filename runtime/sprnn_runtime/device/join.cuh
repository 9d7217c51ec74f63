// Joins streams between the layers of a network.
#pragma once

// to[t][b][first + i] = from[t][b][i] for a stream of `size` values a step and column and a row of
// `width`; with `add`, +=; with `turn`, from the last step to the first. A block takes a row at a time.
extern "C" __global__ void __launch_bounds__(256)
join(const float* from, float* to, int steps, int batch, int size, int width, int first, int turn, int add) {
  const long long rows = (long long)steps * batch;
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
    const long long t = row / batch, b = row % batch;
    const float* source = from + ((turn ? steps - 1 - t : t) * batch + b) * size;
    float* target = to + row * width + first;
    for (int i = threadIdx.x; i < size; i += blockDim.x) target[i] = add ? target[i] + source[i] : source[i];
  }
}
