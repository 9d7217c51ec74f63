// A whole sequence captured in one CUDA graph, so that a step costs no launch from the host.
#pragma once

#include "common.cuh"

namespace peers {

class Graph {
   public:
    // Records what `work` enqueues on the stream.
    template <class Work>
    explicit Graph(Work work) {
        const cudaStream_t stream = the_stream();
        cudaGraph_t graph = nullptr;
        CHECKED(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        try {
            work();
        } catch (...) {  // a stream left in capture would refuse everything that follows
            cudaStreamEndCapture(stream, &graph);
            destroy(graph);
            cudaGetLastError();
            throw;
        }
        CHECKED(cudaStreamEndCapture(stream, &graph));
        const cudaError_t status = cudaGraphInstantiate(&exec_, graph, 0);
        destroy(graph);
        check(status, "cudaGraphInstantiate");
        CHECKED(cudaGraphUpload(exec_, stream));
    }
    ~Graph() {
        if (exec_ != nullptr) {
            cudaGraphExecDestroy(exec_);
        }
    }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    void launch() const { CHECKED(cudaGraphLaunch(exec_, the_stream())); }

   private:
    static void destroy(cudaGraph_t graph) {
        if (graph != nullptr) {
            cudaGraphDestroy(graph);
        }
    }
    cudaGraphExec_t exec_ = nullptr;
};

}  // namespace peers
