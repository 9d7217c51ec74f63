// cuBLAS as the peers use it: row-major weights times a batch of columns.
#pragma once

#include <cublas_v2.h>

#include "common.cuh"

namespace peers {

inline void check(cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        refuse(call, cublasGetStatusString(status));
    }
}

// The handle, with a workspace of its own: inside a capture cuBLAS must not allocate one.
inline cublasHandle_t blas() {
    static cublasHandle_t handle = [] {
        const size_t workspace_bytes = 64u << 20;
        cublasHandle_t made = nullptr;
        void* workspace = nullptr;
        CHECKED(cublasCreate(&made));
        CHECKED(cublasSetStream(made, the_stream()));
        CHECKED(cudaMalloc(&workspace, workspace_bytes));
        CHECKED(cublasSetWorkspace(made, workspace, workspace_bytes));
        return made;
    }();
    return handle;
}

// result [columns, rows] = operand [columns, depth] times the transpose of weights [rows, depth].
// Storage is that of the problem; sums are fp32.
inline void multiply(const PeerProblem& problem, int rows, int columns, int depth, const void* weights,
                     const void* operand, void* result) {
    const float one = 1, zero = 0;
    const cudaDataType_t type = problem.precision == PEER_FP16 ? CUDA_R_16F : CUDA_R_32F;
    // CUBLAS_COMPUTE_32F keeps all 24 bits of a factor; only its FAST_TF32 variant rounds them.
    const cublasComputeType_t compute =
        problem.precision == PEER_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    CHECKED(cublasGemmEx(blas(), CUBLAS_OP_T, CUBLAS_OP_N, rows, columns, depth, &one, weights, type, depth,
                         operand, type, depth, &zero, result, type, rows, compute, CUBLAS_GEMM_DEFAULT));
}

}  // namespace peers
