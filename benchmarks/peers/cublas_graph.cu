// cuBLAS peer: a dense GEMM and an elementwise kernel a step, all steps in one CUDA graph.
#include "sequence.cuh"

namespace peers {

template <class T>
void run_cublas(const PeerProblem& problem, const PeerTiming& timing, PeerResult& result) {
    const int rows = gate_count(problem) * problem.hidden;
    const DeviceBuffer weights(problem.recurrent, static_cast<size_t>(rows) * problem.hidden * sizeof(T));
    Sequence<T> sequence(problem, /*unit_major=*/false);
    const auto product = [&](int t) {
        multiply(problem, rows, problem.batch, problem.hidden, weights.as(), sequence.h(t),
                 sequence.products());
    };
    sequence.run(timing, product, result);
}

}  // namespace peers

extern "C" int peer_cublas_graph(const PeerProblem* problem, const PeerTiming* timing, PeerResult* result) {
    return peers::guarded(result, [&] {
        if (problem->precision == PEER_FP16) {
            peers::run_cublas<__half>(*problem, *timing, *result);
        } else {
            peers::run_cublas<float>(*problem, *timing, *result);
        }
    });
}

extern "C" int peer_device_status(void) { return static_cast<int>(cudaDeviceSynchronize()); }
