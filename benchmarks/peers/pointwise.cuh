// The elementwise part of one step, for peers that have only the matrix product from a library.
#pragma once

#include "common.cuh"

namespace peers {

// Where the element of a unit, a batch column and a gate lies. A gate stride of 0 is one vector that
// all gates share.
struct Strides {
    int unit;
    int column;
    int gate;

    __device__ size_t at(int u, int b, int g = 0) const {
        return static_cast<size_t>(u) * unit + static_cast<size_t>(b) * column +
               static_cast<size_t>(g) * gate;
    }
};

// Columns one after the other, the units of each adjacent: [B, gates, H].
inline Strides by_column(int hidden, int gates) { return {1, gates * hidden, hidden}; }
// Units one after the other, the columns of each adjacent: [gates, H, B].
inline Strides by_unit(int hidden, int batch) { return {batch, 1, hidden * batch}; }

__device__ inline float to_float(float v) { return v; }
__device__ inline float to_float(__half v) { return __half2float(v); }
__device__ inline void store(float* to, float v) { *to = v; }
__device__ inline void store(__half* to, float v) { *to = __float2half(v); }
__device__ inline float sigmoid(float v) { return 1.0f / (1.0f + expf(-v)); }

template <class T>
struct StepOperands {
    const T* x;  // this step's inputs, [B, H] or already multiplied [B, gates, H]
    Strides x_strides;
    const T* products;  // recurrent matrix times h
    Strides product_strides;
    const T* bias;  // [gates, H]
    const T* h_before;
    T* h_after;
    Strides h_strides;
    float* c;  // [B, H], the cell state of an LSTM; zero before the first step
    bool first_step;
};

template <class T, int cell>
__global__ void step(int hidden, int batch, StepOperands<T> o) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= hidden * batch) {
        return;
    }
    // Neighbouring threads take neighbouring elements of h, whichever way it lies.
    const int u = o.h_strides.unit == 1 ? i % hidden : i / batch;
    const int b = o.h_strides.unit == 1 ? i / hidden : i % batch;
    const auto x = [&](int g) { return to_float(o.x[o.x_strides.at(u, b, g)]); };
    const auto product = [&](int g) {
        return to_float(o.products[o.product_strides.at(u, b, g)]) + to_float(o.bias[g * hidden + u]);
    };
    float h = 0;
    if constexpr (cell == PEER_RNN_TANH) {
        h = tanhf(x(0) + product(0));
    } else if constexpr (cell == PEER_LSTM) {
        const float before = o.first_step ? 0.0f : o.c[i];
        const float c =
            sigmoid(x(1) + product(1)) * before + sigmoid(x(0) + product(0)) * tanhf(x(2) + product(2));
        o.c[i] = c;
        h = sigmoid(x(3) + product(3)) * tanhf(c);
    } else {
        const float reset = sigmoid(x(0) + product(0));
        const float update = sigmoid(x(1) + product(1));
        const float fresh = tanhf(x(2) + reset * product(2));
        h = (1.0f - update) * fresh + update * to_float(o.h_before[o.h_strides.at(u, b)]);
    }
    store(o.h_after + o.h_strides.at(u, b), h);
}

template <class T>
void launch_step(const PeerProblem& problem, const StepOperands<T>& operands, cudaStream_t stream) {
    const int threads = 256;
    const int blocks = (problem.hidden * problem.batch + threads - 1) / threads;
    switch (problem.cell) {
        case PEER_RNN_TANH:
            step<T, PEER_RNN_TANH><<<blocks, threads, 0, stream>>>(problem.hidden, problem.batch, operands);
            break;
        case PEER_LSTM:
            step<T, PEER_LSTM><<<blocks, threads, 0, stream>>>(problem.hidden, problem.batch, operands);
            break;
        default: step<T, PEER_GRU><<<blocks, threads, 0, stream>>>(problem.hidden, problem.batch, operands);
    }
    CHECKED(cudaGetLastError());
}

}  // namespace peers
