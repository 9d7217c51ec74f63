// What Python calls: one function a peer. Each runs one recurrence, times it and returns its outputs.
//
// All arrays lie on the host in the storage type: 2-byte floats for PEER_FP16, else 4-byte floats.
// Gates are stacked in cuDNN's order: LSTM input, forget, cell, output; GRU reset, update, new.
#pragma once

#include <cstdint>

extern "C" {

enum PeerCell : int32_t { PEER_RNN_TANH = 0, PEER_LSTM = 1, PEER_GRU = 2 };

// TF32 stores 4-byte floats but lets tensor cores round the factors of a product to 10 bits.
enum PeerPrecision : int32_t { PEER_FP16 = 0, PEER_TF32 = 1, PEER_FP32 = 2 };

// The CSR arrays hold `recurrent` again, and are read by the sparse peer only.
struct PeerProblem {
    int32_t cell;
    int32_t precision;
    int32_t hidden;
    int32_t batch;
    int32_t steps;
    const void* recurrent;         // [gates, H, H], zeros where pruned
    const void* input_weights;     // [gates, H, H], or null: x is added to every gate as it is
    const void* bias;              // [gates, H]
    const void* x;                 // [T, B, H]
    const int32_t* row_offsets;    // [gates * H + 1]
    const int32_t* columns;        // [nonzeros]
    const void* values;            // [nonzeros]
    int64_t nonzeros;
};

// As many repeats as fit into `patience_ms`, from `least_repeats` to `repeats`.
struct PeerTiming {
    int32_t warmups;
    int32_t repeats;
    int32_t least_repeats;
    float patience_ms;
};

struct PeerResult {
    void* y;            // [T, B, H], of the timed runs
    float* times_us;    // room for `repeats` values: microseconds a step, one value a call
    int32_t count;      // how many of them were measured
    char refusal[512];  // why there is no result; empty where there is one
};

// Each returns 0 with a result, or 1 with `refusal`; none of them throws.
// `algorithm` is a cudnnRNNAlgo_t for cuDNN, and a cusparseSpMMAlg_t for cuSPARSE.
int peer_cudnn(const PeerProblem* problem, const PeerTiming* timing, int algorithm, PeerResult* result);
int peer_cublas_graph(const PeerProblem* problem, const PeerTiming* timing, PeerResult* result);
int peer_cusparse_graph(const PeerProblem* problem, const PeerTiming* timing, int algorithm,
                        PeerResult* result);

// 0 while the GPU still answers: an illegal access of one peer breaks every later call of the process.
int peer_device_status(void);

}  // extern "C"
