// cuDNN peer: cudnnRNNForward with any of its algorithms, on the same weights and inputs.
#include <cudnn.h>

#include <vector>

#include "common.cuh"

namespace peers {

inline void check(cudnnStatus_t status, const char* call) {
    if (status == CUDNN_STATUS_SUCCESS) {
        return;
    }
    char details[256] = "";
    cudnnGetLastErrorString(details, sizeof details);
    refuse(call, std::string(cudnnGetErrorString(status)) + (details[0] != '\0' ? ": " : "") + details);
}

inline cudnnHandle_t dnn() {
    static cudnnHandle_t handle = [] {
        cudnnHandle_t made = nullptr;
        CHECKED(cudnnCreate(&made));
        CHECKED(cudnnSetStream(made, the_stream()));
        return made;
    }();
    return handle;
}

// A descriptor that destroys itself.
template <class Handle, cudnnStatus_t (*create)(Handle*), cudnnStatus_t (*destroy)(Handle)>
class Descriptor {
   public:
    Descriptor() { check(create(&handle_), "cudnnCreate...Descriptor"); }
    ~Descriptor() { destroy(handle_); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    operator Handle() const { return handle_; }

   private:
    Handle handle_ = nullptr;
};

using RnnDescriptor = Descriptor<cudnnRNNDescriptor_t, cudnnCreateRNNDescriptor, cudnnDestroyRNNDescriptor>;
using DropoutDescriptor =
    Descriptor<cudnnDropoutDescriptor_t, cudnnCreateDropoutDescriptor, cudnnDestroyDropoutDescriptor>;
using DataDescriptor =
    Descriptor<cudnnRNNDataDescriptor_t, cudnnCreateRNNDataDescriptor, cudnnDestroyRNNDataDescriptor>;
using TensorDescriptor =
    Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;

class CudnnRun {
   public:
    CudnnRun(const PeerProblem& problem, cudnnRNNAlgo_t algorithm)
        : problem_(problem),
          type_(problem.precision == PEER_FP16 ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT),
          lengths_(problem.batch, problem.steps) {
        describe_layer(algorithm);
        describe_data();
        if (algorithm == CUDNN_RNN_ALGO_PERSIST_DYNAMIC) {
            CHECKED(cudnnBuildRNNDynamic(dnn(), rnn_, problem.batch));
        }
        CHECKED(cudnnGetRNNTempSpaceSizes(dnn(), rnn_, CUDNN_FWD_MODE_INFERENCE, x_descriptor_,
                                          &workspace_bytes_, &reserve_bytes_));
        CHECKED(cudnnGetRNNWeightSpaceSize(dnn(), rnn_, &weight_bytes_));
    }

    void run(const PeerTiming& timing, PeerResult& result) {
        const size_t one_state = state_bytes(problem_), sequence = sequence_bytes(problem_);
        DeviceBuffer weights(weight_bytes_), workspace(workspace_bytes_), reserve(reserve_bytes_);
        const DeviceBuffer x(problem_.x, sequence);
        DeviceBuffer y(sequence), hx(one_state), hy(one_state), cx(one_state), cy(one_state);
        const DeviceBuffer device_lengths(lengths_.data(), lengths_.size() * sizeof(int32_t));
        for (DeviceBuffer* zeroed : {&weights, &hx, &cx}) {
            zeroed->zero(the_stream());
        }
        CHECKED(cudaStreamSynchronize(the_stream()));
        set_weights(weights);
        const auto call = [&] {
            CHECKED(cudnnRNNForward(dnn(), rnn_, CUDNN_FWD_MODE_INFERENCE, device_lengths.as<int32_t>(),
                                    x_descriptor_, x.as(), y_descriptor_, y.as(), state_descriptor_, hx.as(),
                                    hy.as(), state_descriptor_, cx.as(), cy.as(), weight_bytes_, weights.as(),
                                    workspace_bytes_, workspace.as(), reserve_bytes_,
                                    reserve_bytes_ > 0 ? reserve.as() : nullptr));
        };
        time_calls(problem_, timing, y.as(), call, result);
        y.download(result.y, sequence);
    }

   private:
    void describe_layer(cudnnRNNAlgo_t algorithm) {
        const cudnnRNNMode_t modes[] = {CUDNN_RNN_TANH, CUDNN_LSTM, CUDNN_GRU};
        // DEFAULT_MATH lets fp32 factors be rounded to TF32; FMA_MATH does not.
        const cudnnMathType_t math[] = {CUDNN_TENSOR_OP_MATH, CUDNN_DEFAULT_MATH, CUDNN_FMA_MATH};
        gate_count(problem_);  // refuses an unknown cell
        CHECKED(cudnnSetDropoutDescriptor(dropout_, dnn(), 0, nullptr, 0, 0));
        CHECKED(cudnnSetRNNDescriptor_v8(
            rnn_, algorithm, modes[problem_.cell], CUDNN_RNN_DOUBLE_BIAS, CUDNN_UNIDIRECTIONAL,
            problem_.input_weights != nullptr ? CUDNN_LINEAR_INPUT : CUDNN_SKIP_INPUT, type_,
            CUDNN_DATA_FLOAT, math[problem_.precision], problem_.hidden, problem_.hidden, problem_.hidden, 1,
            dropout_, CUDNN_RNN_PADDED_IO_DISABLED));
    }

    void describe_data() {
        float padding = 0;
        for (const auto* descriptor : {&x_descriptor_, &y_descriptor_}) {
            CHECKED(cudnnSetRNNDataDescriptor(*descriptor, type_, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED,
                                              problem_.steps, problem_.batch, problem_.hidden,
                                              lengths_.data(), &padding));
        }
        const int sizes[] = {1, problem_.batch, problem_.hidden};
        const int strides[] = {problem_.batch * problem_.hidden, problem_.hidden, 1};
        CHECKED(cudnnSetTensorNdDescriptor(state_descriptor_, type_, 3, sizes, strides));
    }

    // Puts every matrix and bias where cuDNN wants it. Of its two biases a gate, ours is the recurrent
    // one: in a GRU that is the one inside the reset. The other stays zero.
    void set_weights(const DeviceBuffer& weights) {
        const int gates = gate_count(problem_);
        const size_t vector = problem_.hidden * element_bytes(problem_), matrix = vector * problem_.hidden;
        for (int gate = 0; gate < gates; ++gate) {
            set_gate(weights, gates + gate, offset(problem_.recurrent, gate * matrix),
                     offset(problem_.bias, gate * vector));
            if (problem_.input_weights != nullptr) {
                set_gate(weights, gate, offset(problem_.input_weights, gate * matrix), nullptr);
            }
        }
    }

    void set_gate(const DeviceBuffer& weights, int id, const void* matrix, const void* bias) {
        const TensorDescriptor matrix_descriptor, bias_descriptor;
        void *matrix_at = nullptr, *bias_at = nullptr;
        CHECKED(cudnnGetRNNWeightParams(dnn(), rnn_, 0, weight_bytes_, weights.as(), id, matrix_descriptor,
                                        &matrix_at, bias_descriptor, &bias_at));
        const size_t width = problem_.hidden;
        copy_into(matrix_descriptor, matrix_at, matrix, width * width);
        if (bias != nullptr) {
            copy_into(bias_descriptor, bias_at, bias, width);
        }
    }

    void copy_into(cudnnTensorDescriptor_t descriptor, void* to, const void* from, size_t expected) {
        cudnnDataType_t type = CUDNN_DATA_FLOAT;
        int rank = 0, sizes[3] = {0, 0, 0}, strides[3] = {0, 0, 0};
        CHECKED(cudnnGetTensorNdDescriptor(descriptor, 3, &type, &rank, sizes, strides));
        const size_t count = static_cast<size_t>(sizes[0]) * sizes[1] * sizes[2];
        if (to == nullptr || rank != 3 || type != type_ || count != expected) {
            throw Refused("cudnnGetRNNWeightParams: the weights do not lie as expected");
        }
        CHECKED(cudaMemcpy(to, from, expected * element_bytes(problem_), cudaMemcpyHostToDevice));
    }

    static const void* offset(const void* data, size_t bytes) {
        return static_cast<const char*>(data) + bytes;
    }

    const PeerProblem& problem_;
    const cudnnDataType_t type_;
    const std::vector<int32_t> lengths_;
    const RnnDescriptor rnn_;
    const DropoutDescriptor dropout_;
    const DataDescriptor x_descriptor_, y_descriptor_;
    const TensorDescriptor state_descriptor_;
    size_t workspace_bytes_ = 0, reserve_bytes_ = 0, weight_bytes_ = 0;
};

}  // namespace peers

extern "C" int peer_cudnn(const PeerProblem* problem, const PeerTiming* timing, int algorithm,
                          PeerResult* result) {
    return peers::guarded(result, [&] {
        peers::CudnnRun run(*problem, static_cast<cudnnRNNAlgo_t>(algorithm));
        run.run(*timing, *result);
    });
}
