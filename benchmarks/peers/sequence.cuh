// A sequence of (matrix product, elementwise part) steps in one graph; the product is the caller's.
#pragma once

#include <memory>

#include "blas.cuh"
#include "graph.cuh"
#include "pointwise.cuh"

namespace peers {

// [H, B] to [B, H], once a step of the outputs; not timed.
template <class T>
__global__ void to_columns(int hidden, int batch, size_t count, const T* from, T* to) {
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count) {
        const size_t state = static_cast<size_t>(hidden) * batch;
        const size_t t = i / state, b = i % state / hidden, u = i % hidden;
        to[i] = from[t * state + u * batch + b];
    }
}

template <class T>
class Sequence {
   public:
    // `unit_major`: h lies as [H, B] and products as [gates, H, B], else [B, H] and [B, gates, H].
    Sequence(const PeerProblem& problem, bool unit_major)
        : problem_(problem),
          unit_major_(unit_major),
          gates_(gate_count(problem)),
          x_(problem.x, sequence_bytes(problem)),
          bias_(problem.bias, static_cast<size_t>(gates_) * problem.hidden * sizeof(T)),
          h_((problem.steps + 1) * state_bytes(problem)),
          products_(gates_ * state_bytes(problem)),
          c_(static_cast<size_t>(problem.batch) * problem.hidden * sizeof(float)) {
        if (problem.input_weights != nullptr) {
            const size_t weights = static_cast<size_t>(gates_) * problem.hidden * problem.hidden * sizeof(T);
            input_weights_ = std::make_unique<DeviceBuffer>(problem.input_weights, weights);
            multiplied_ = std::make_unique<DeviceBuffer>(gates_ * sequence_bytes(problem));
        }
    }

    // h before step `t`; before the first step it is zero and nothing writes it.
    T* h(int t) const { return h_.template as<T>() + t * state_size(); }
    T* products() const { return products_.template as<T>(); }

    // Times the graph of all steps; `multiply_h(t)` enqueues products() = recurrent matrix times h(t).
    template <class Product>
    void run(const PeerTiming& timing, Product multiply_h, PeerResult& result) {
        h_.zero(the_stream());
        // Once without a graph: libraries load their kernels at the first call, which no capture allows.
        multiply_inputs();
        multiply_h(0);
        apply_step(0);
        CHECKED(cudaStreamSynchronize(the_stream()));
        const Graph graph([&] {
            multiply_inputs();
            for (int t = 0; t < problem_.steps; ++t) {
                multiply_h(t);
                apply_step(t);
            }
        });
        time_calls(problem_, timing, h(1), [&] { graph.launch(); }, result);
        fetch(result);
    }

   private:
    size_t state_size() const { return static_cast<size_t>(problem_.batch) * problem_.hidden; }

    void multiply_inputs() {
        if (multiplied_) {
            multiply(problem_, gates_ * problem_.hidden, problem_.steps * problem_.batch, problem_.hidden,
                     input_weights_->as(), x_.as(), multiplied_->as());
        }
    }

    void apply_step(int t) {
        const int hidden = problem_.hidden, batch = problem_.batch;
        StepOperands<T> o;
        if (multiplied_) {
            o.x = multiplied_->template as<T>() + t * gates_ * state_size();
            o.x_strides = by_column(hidden, gates_);
        } else {
            o.x = x_.template as<T>() + t * state_size();
            o.x_strides = {1, hidden, 0};
        }
        o.products = products();
        o.product_strides = unit_major_ ? by_unit(hidden, batch) : by_column(hidden, gates_);
        o.bias = bias_.template as<T>();
        o.h_before = h(t);
        o.h_after = h(t + 1);
        o.h_strides = unit_major_ ? by_unit(hidden, batch) : by_column(hidden, 1);
        o.c = c_.template as<float>();
        o.first_step = t == 0;
        launch_step(problem_, o, the_stream());
    }

    void fetch(PeerResult& result) {
        if (!unit_major_) {
            CHECKED(cudaMemcpy(result.y, h(1), sequence_bytes(problem_), cudaMemcpyDeviceToHost));
            return;
        }
        const size_t count = problem_.steps * state_size();
        const DeviceBuffer columns(count * sizeof(T));
        to_columns<T><<<static_cast<unsigned>((count + 255) / 256), 256, 0, the_stream()>>>(
            problem_.hidden, problem_.batch, count, h(1), columns.template as<T>());
        CHECKED(cudaGetLastError());
        CHECKED(cudaStreamSynchronize(the_stream()));
        columns.download(result.y, count * sizeof(T));
    }

    const PeerProblem& problem_;
    const bool unit_major_;
    const int gates_;
    DeviceBuffer x_, bias_, h_, products_, c_;
    std::unique_ptr<DeviceBuffer> input_weights_, multiplied_;
};

}  // namespace peers
