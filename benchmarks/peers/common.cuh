// What every peer needs: errors with their reason, memory that frees itself, and the timing.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#include "peers.h"

namespace peers {

// A library says no, or a call fails: this configuration has no result, the others go on.
class Refused : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
};

// "cudaMalloc(&data, size)" is reported as "cudaMalloc: out of memory".
[[noreturn]] inline void refuse(const char* call, const std::string& reason) {
    const std::string text(call);
    throw Refused(text.substr(0, text.find('(')) + ": " + reason);
}

inline void check(cudaError_t status, const char* call) {
    if (status != cudaSuccess) {
        refuse(call, cudaGetErrorString(status));
    }
}

// Overloads for the status types of the libraries stand in the files that use them.
#define CHECKED(call) check((call), #call)

class DeviceBuffer {
   public:
    explicit DeviceBuffer(size_t bytes) : bytes_(std::max<size_t>(bytes, 16)) {
        CHECKED(cudaMalloc(&data_, bytes_));
    }
    DeviceBuffer(const void* host, size_t bytes) : DeviceBuffer(bytes) {
        CHECKED(cudaMemcpy(data_, host, bytes, cudaMemcpyHostToDevice));
    }
    ~DeviceBuffer() { cudaFree(data_); }
    DeviceBuffer(const DeviceBuffer&) = delete;
    DeviceBuffer& operator=(const DeviceBuffer&) = delete;

    void download(void* host, size_t bytes) const {
        CHECKED(cudaMemcpy(host, data_, bytes, cudaMemcpyDeviceToHost));
    }
    void zero(cudaStream_t stream) { CHECKED(cudaMemsetAsync(data_, 0, bytes_, stream)); }

    template <class T = void>
    T* as() const {
        return static_cast<T*>(data_);
    }

   private:
    void* data_ = nullptr;
    size_t bytes_;
};

class Event {
   public:
    Event() { CHECKED(cudaEventCreate(&event_)); }
    ~Event() { cudaEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    operator cudaEvent_t() const { return event_; }

   private:
    cudaEvent_t event_ = nullptr;
};

// One stream for all peers. Like the libraries' handles it lives as long as the process: destroying it
// at exit would call into a driver that may be gone.
inline cudaStream_t the_stream() {
    static cudaStream_t stream = [] {
        cudaStream_t made = nullptr;
        CHECKED(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
        return made;
    }();
    return stream;
}

inline int gate_count(const PeerProblem& problem) {
    switch (problem.cell) {
        case PEER_RNN_TANH: return 1;
        case PEER_LSTM: return 4;
        case PEER_GRU: return 3;
    }
    throw Refused("unknown cell");
}

inline size_t element_bytes(const PeerProblem& problem) { return problem.precision == PEER_FP16 ? 2 : 4; }

inline size_t state_bytes(const PeerProblem& problem) {
    return static_cast<size_t>(problem.batch) * problem.hidden * element_bytes(problem);
}

inline size_t sequence_bytes(const PeerProblem& problem) { return problem.steps * state_bytes(problem); }

// Holds a stream until everything that is to be timed is enqueued: the processor's own time does not count.
// It never holds it for long, for a call may itself wait for the stream.
class HeldStream {
  public:
    explicit HeldStream(cudaStream_t stream) {
        CHECKED(cudaLaunchHostFunc(stream, &HeldStream::wait, &open_));
    }
    void release() { open_.store(true); }
    ~HeldStream() { release(); }

  private:
    static void CUDART_CB wait(void* open) {
        const auto latest = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
        while (!static_cast<std::atomic<bool>*>(open)->load() && std::chrono::steady_clock::now() < latest) {
            std::this_thread::yield();
        }
    }
    std::atomic<bool> open_{false};
};

// Times `call`, which enqueues one whole sequence on the stream, and fetches nothing.
// The outputs `y` [T, B, H] are poisoned between the warm-ups and the timed calls, so that a check of
// them afterwards is a check of what was timed. All bits 1 is a NaN in every type.
template <class Call>
void time_calls(const PeerProblem& problem, const PeerTiming& timing, void* y, Call call,
                PeerResult& result) {
    const cudaStream_t stream = the_stream();
    Event first, last;
    const auto elapsed_ms = [&] {
        HeldStream held(stream);
        CHECKED(cudaEventRecord(first, stream));
        call();
        CHECKED(cudaEventRecord(last, stream));
        held.release();
        CHECKED(cudaEventSynchronize(last));
        float ms = 0;
        CHECKED(cudaEventElapsedTime(&ms, first, last));
        return ms;
    };
    float once_ms = 0;
    for (int i = 0; i < std::max(1, timing.warmups); ++i) {
        once_ms = elapsed_ms();
    }
    const int affordable = static_cast<int>(std::min(1e6f, timing.patience_ms / std::max(once_ms, 1e-3f)));
    const int count = std::min(timing.repeats, std::max(timing.least_repeats, affordable));
    CHECKED(cudaMemsetAsync(y, 0xFF, sequence_bytes(problem), stream));
    CHECKED(cudaStreamSynchronize(stream));
    for (int i = 0; i < count; ++i) {
        result.times_us[i] = elapsed_ms() * 1e3f / problem.steps;
    }
    result.count = count;
}

// Runs `work` and turns whatever it throws into a reason: nothing may unwind into Python.
template <class Work>
int guarded(PeerResult* result, Work work) {
    result->count = 0;
    result->refusal[0] = '\0';
    try {
        CHECKED(cudaFree(nullptr));  // creates the context, or says that there is no GPU
        work();
        return 0;
    } catch (const std::exception& error) {
        std::snprintf(result->refusal, sizeof result->refusal, "%s", error.what());
    } catch (...) {
        std::snprintf(result->refusal, sizeof result->refusal, "unknown error");
    }
    cudaGetLastError();  // the next peer starts without this one's error
    return 1;
}

}  // namespace peers
