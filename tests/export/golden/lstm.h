// lstm: LSTM, fp32, batch 2
// Written by sprnnc 0.1.0 for sm_90.
//
// All sizes are in values, all values are float, and every array is dense and in C order. A model belongs to
// the device that was current when it was created; use one stream and one thread at a time with it, and one
// model for each stream that shall run at the same time.
#ifndef lstm_H
#define lstm_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  lstm_BATCH = 2,  // columns that run together
  lstm_INPUT = 10,  // values of one input column: x[10]
  lstm_OUTPUT = 40,  // values of one output column
  lstm_STEPS_PER_LAUNCH = 5,  // the most steps of one launch; longer runs take several
  lstm_LAUNCHES = 256  // the most launches between two calls of lstm_finish
};

// States, by name; each holds [lstm_BATCH, size] values.
typedef enum {
  lstm_STATE_h = 0,  // size 40
  lstm_STATE_c = 1  // size 40
} lstm_state;

typedef enum {
  lstm_OK = 0,  // all went well
  lstm_BAD_ARGUMENT = 1,  // an argument is NULL or out of range
  lstm_NO_WEIGHTS = 2,  // the file of the weights cannot be opened
  lstm_DAMAGED_WEIGHTS = 3,  // the weights are not those that were exported with this source
  lstm_WRONG_DEVICE = 4,  // the current device is not one that this model can run on
  lstm_NOT_RESIDENT = 5,  // the device cannot hold all blocks of a kernel at once
  lstm_OUT_OF_MEMORY = 6,  // there is not enough memory
  lstm_CUDA_FAILED = 7,  // a call of CUDA failed
  lstm_WAITED_TOO_LONG = 8,  // a wait inside a kernel spent its budget: other work kept blocks off the GPU
  lstm_KERNEL_FAILED = 9,  // a kernel reported a status that is not known
  lstm_BUSY = 10,  // too many launches are pending
  lstm_STATES_LOST = 11  // the states are not valid since a run failed: set all of them
} lstm_error;

// Where a kernel gave up. `step` counts from the first step of the run that failed.
typedef struct {
  unsigned code, block, step, phase;
} lstm_failure;

typedef struct lstm_model lstm_model;

// Makes a model on the current device, its states all zero.
// `weights_path` names the file lstm.weights, whose size and checksum must be those of this source.
// `steps_at_once`: device memory is taken for this many steps of a launch; 0 means lstm_STEPS_PER_LAUNCH.
// On success *model is to be destroyed; otherwise it is NULL. Waits until the device is ready.
lstm_error lstm_create(lstm_model** model, const char* weights_path, int steps_at_once);

// Runs `steps` steps: x [steps, BATCH, INPUT] to y [steps, BATCH, OUTPUT], both in device memory and
// not overlapping. The states go on from the run before. It enqueues on `stream` and returns; it allocates nothing
// and waits for nothing. Whether all went well, lstm_finish says. An error in the middle of a long run ends it:
// what would come later is not launched.
lstm_error lstm_run(lstm_model* model, const float* x, float* y, int steps, cudaStream_t stream);

// Waits for `stream`, and says whether all runs since the last call went well. If not, their outputs are not valid,
// nor are the states: other calls return lstm_STATES_LOST until each has been set. *failure (which may be NULL) is
// the first place where a kernel gave up.
lstm_error lstm_finish(lstm_model* model, cudaStream_t stream, lstm_failure* failure);

// Sets a state to `values` [BATCH, size], in host or device memory; NULL means zeros. In the order of `stream`:
// `values` must live until the copy is done.
lstm_error lstm_set_state(lstm_model* model, lstm_state which, const float* values, cudaStream_t stream);

// Copies a state to `values` [BATCH, size], in host or device memory, in the order of `stream`.
lstm_error lstm_get_state(lstm_model* model, lstm_state which, float* values, cudaStream_t stream);

// Wall time that one wait inside a kernel may take, from the next run on; 2000000000 at first.
lstm_error lstm_set_budget_ns(lstm_model* model, unsigned long long budget_ns);

// The length of each column, `lengths` [BATCH] in device memory, for all runs from the next one on, each counted from
// its first step: past its length a column's outputs are zero and its states stay. NULL, as at first: none ends early.
lstm_error lstm_set_lengths(lstm_model* model, const int* lengths);

// Frees everything, after waiting for the device. NULL does nothing.
void lstm_destroy(lstm_model* model);

// How many values a state has, batch included; 0 where there is no such state.
size_t lstm_state_values(lstm_state which);

// What a code means; never NULL.
const char* lstm_error_text(lstm_error code);

// The last error of this thread in detail: expected against got, or CUDA's own words; never NULL.
const char* lstm_last_message(void);

#ifdef __cplusplus
}
#endif

#endif
