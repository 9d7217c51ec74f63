// net: RNN, Dense, fp32, batch 2
// Written by sprnnc 0.1.0 for sm_90.
//
// All sizes are in values, all values are float, and every array is dense and in C order. A model belongs to
// the device that was current when it was created; use one stream and one thread at a time with it, and one
// model for each stream that shall run at the same time.
#ifndef net_H
#define net_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  net_BATCH = 2,  // columns that run together
  net_INPUT = 1,  // values of one input column: n[1]
  net_OUTPUT = 7,  // values of one output column
  net_STEPS_PER_LAUNCH = 3,  // the most steps that every layer takes in one launch
  net_LAUNCHES = 512  // the most launches between two calls of net_finish
};

// States, by name; each holds [net_BATCH, size] values.
typedef enum {
  net_STATE_new_h = 0,  // new.h, size 4
  net_STATE_chunk_h = 1  // chunk.h, size 4
} net_state;

typedef enum {
  net_OK = 0,  // all went well
  net_BAD_ARGUMENT = 1,  // an argument is NULL or out of range
  net_NO_WEIGHTS = 2,  // the file of the weights cannot be opened
  net_DAMAGED_WEIGHTS = 3,  // the weights are not those that were exported with this source
  net_WRONG_DEVICE = 4,  // the current device is not one that this model can run on
  net_NOT_RESIDENT = 5,  // the device cannot hold all blocks of a kernel at once
  net_OUT_OF_MEMORY = 6,  // there is not enough memory
  net_CUDA_FAILED = 7,  // a call of CUDA failed
  net_WAITED_TOO_LONG = 8,  // a wait inside a kernel spent its budget: other work kept blocks off the GPU
  net_KERNEL_FAILED = 9,  // a kernel reported a status that is not known
  net_BUSY = 10,  // too many launches are pending
  net_STATES_LOST = 11,  // the states are not valid since a run failed: set all of them
  net_TOO_LONG = 12  // the sequence is longer than the model has room for
} net_error;

// Where a kernel gave up. `step` counts from the first step of the run that failed.
typedef struct {
  unsigned code, block, step, phase;
  const char* layer;  // NULL where none did
} net_failure;

typedef struct net_model net_model;

// Makes a model on the current device, its states all zero.
// `weights_path` names the file net.weights, whose size and checksum must be those of this source.
// `steps_at_once`: device memory is taken for runs of at most this many steps, since a layer begins with the last
// one; 0 means net_STEPS_PER_LAUNCH.
// On success *model is to be destroyed; otherwise it is NULL. Waits until the device is ready.
net_error net_create(net_model** model, const char* weights_path, int steps_at_once);

// Runs `steps` steps: x [steps, BATCH, INPUT] to y [steps, BATCH, OUTPUT], both in device memory and
// not overlapping. The states go on from the run before. It enqueues on `stream` and returns; it allocates nothing
// and waits for nothing. Whether all went well, net_finish says. An error in the middle of a long run ends it:
// what would come later is not launched.
net_error net_run(net_model* model, const float* x, float* y, int steps, cudaStream_t stream);

// Waits for `stream`, and says whether all runs since the last call went well. If not, their outputs are not valid,
// nor are the states: other calls return net_STATES_LOST until each has been set. *failure (which may be NULL) is
// the first place where a kernel gave up.
net_error net_finish(net_model* model, cudaStream_t stream, net_failure* failure);

// Sets a state to `values` [BATCH, size], in host or device memory; NULL means zeros. In the order of `stream`:
// `values` must live until the copy is done.
net_error net_set_state(net_model* model, net_state which, const float* values, cudaStream_t stream);

// Copies a state to `values` [BATCH, size], in host or device memory, in the order of `stream`.
net_error net_get_state(net_model* model, net_state which, float* values, cudaStream_t stream);

// Wall time that one wait inside a kernel may take, from the next run on; 2000000000 at first.
net_error net_set_budget_ns(net_model* model, unsigned long long budget_ns);

// The length of each column, `lengths` [BATCH] in device memory, for all runs from the next one on, each counted from
// its first step: past its length a column's outputs are zero and its states stay. NULL, as at first: none ends early.
net_error net_set_lengths(net_model* model, const int* lengths);

// Frees everything, after waiting for the device. NULL does nothing.
void net_destroy(net_model* model);

// How many values a state has, batch included; 0 where there is no such state.
size_t net_state_values(net_state which);

// What a code means; never NULL.
const char* net_error_text(net_error code);

// The last error of this thread in detail: expected against got, or CUDA's own words; never NULL.
const char* net_last_message(void);

#ifdef __cplusplus
}
#endif

#endif
