// cuSPARSE peer: a CSR SpMM and an elementwise kernel a step, all steps in one CUDA graph.
#include <cusparse.h>

#include "sequence.cuh"

namespace peers {

inline void check(cusparseStatus_t status, const char* call) {
    if (status != CUSPARSE_STATUS_SUCCESS) {
        refuse(call, cusparseGetErrorString(status));
    }
}

inline cusparseHandle_t sparse() {
    static cusparseHandle_t handle = [] {
        cusparseHandle_t made = nullptr;
        CHECKED(cusparseCreate(&made));
        CHECKED(cusparseSetStream(made, the_stream()));
        return made;
    }();
    return handle;
}

inline cudaDataType_t storage_type(const PeerProblem& problem) {
    return problem.precision == PEER_FP16 ? CUDA_R_16F : CUDA_R_32F;
}

// The recurrent matrix [rows, H] on the device.
class SparseMatrix {
   public:
    SparseMatrix(const PeerProblem& problem, int rows)
        : offsets_(problem.row_offsets, (static_cast<size_t>(rows) + 1) * sizeof(int32_t)),
          columns_(problem.columns, problem.nonzeros * sizeof(int32_t)),
          values_(problem.values, problem.nonzeros * element_bytes(problem)) {
        CHECKED(cusparseCreateCsr(&matrix_, rows, problem.hidden, problem.nonzeros, offsets_.as(),
                                  columns_.as(), values_.as(), CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I,
                                  CUSPARSE_INDEX_BASE_ZERO, storage_type(problem)));
    }
    ~SparseMatrix() {
        if (matrix_ != nullptr) {
            cusparseDestroySpMat(matrix_);
        }
    }
    SparseMatrix(const SparseMatrix&) = delete;
    SparseMatrix& operator=(const SparseMatrix&) = delete;
    operator cusparseSpMatDescr_t() const { return matrix_; }

   private:
    DeviceBuffer offsets_, columns_, values_;
    cusparseSpMatDescr_t matrix_ = nullptr;
};

// A batch of vectors as the dense matrix [rows, batch], in row or in column order.
class DenseMatrix {
   public:
    DenseMatrix(const PeerProblem& problem, int rows, bool unit_major, void* data) {
        CHECKED(cusparseCreateDnMat(&matrix_, rows, problem.batch, unit_major ? problem.batch : rows, data,
                                    storage_type(problem),
                                    unit_major ? CUSPARSE_ORDER_ROW : CUSPARSE_ORDER_COL));
    }
    ~DenseMatrix() {
        if (matrix_ != nullptr) {
            cusparseDestroyDnMat(matrix_);
        }
    }
    DenseMatrix(const DenseMatrix&) = delete;
    DenseMatrix& operator=(const DenseMatrix&) = delete;
    operator cusparseDnMatDescr_t() const { return matrix_; }

   private:
    cusparseDnMatDescr_t matrix_ = nullptr;
};

template <class T>
void run_cusparse(const PeerProblem& problem, const PeerTiming& timing, cusparseSpMMAlg_t algorithm,
                  PeerResult& result) {
    const cusparseOperation_t as_it_is = CUSPARSE_OPERATION_NON_TRANSPOSE;
    const float one = 1, zero = 0;
    const int rows = gate_count(problem) * problem.hidden;
    // The order that the library's manual names as the faster one for each algorithm.
    const bool unit_major = algorithm != CUSPARSE_SPMM_CSR_ALG1;
    const SparseMatrix weights(problem, rows);
    Sequence<T> sequence(problem, unit_major);
    const DenseMatrix operand(problem, problem.hidden, unit_major, sequence.h(0));
    const DenseMatrix product(problem, rows, unit_major, sequence.products());
    size_t bytes = 0;
    CHECKED(cusparseSpMM_bufferSize(sparse(), as_it_is, as_it_is, &one, weights, operand, &zero, product,
                                    CUDA_R_32F, algorithm, &bytes));
    const DeviceBuffer workspace(bytes);
    CHECKED(cusparseSpMM_preprocess(sparse(), as_it_is, as_it_is, &one, weights, operand, &zero, product,
                                    CUDA_R_32F, algorithm, workspace.as()));
    const auto multiply_h = [&](int t) {
        CHECKED(cusparseDnMatSetValues(operand, sequence.h(t)));
        CHECKED(cusparseSpMM(sparse(), as_it_is, as_it_is, &one, weights, operand, &zero, product, CUDA_R_32F,
                             algorithm, workspace.as()));
    };
    sequence.run(timing, multiply_h, result);
}

}  // namespace peers

extern "C" int peer_cusparse_graph(const PeerProblem* problem, const PeerTiming* timing, int algorithm,
                                   PeerResult* result) {
    return peers::guarded(result, [&] {
        const auto chosen = static_cast<cusparseSpMMAlg_t>(algorithm);
        if (problem->precision == PEER_FP16) {
            peers::run_cusparse<__half>(*problem, *timing, chosen, *result);
        } else {
            peers::run_cusparse<float>(*problem, *timing, chosen, *result);
        }
    });
}
