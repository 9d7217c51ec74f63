// ---- what a run does

// One launch of every kernel, for `steps` steps that begin at x and y, `first` steps after those of the run.
lstm_error run_chunk(lstm_model* m, const float* x, float* y, [[maybe_unused]] int first, int steps, cudaStream_t stream) {
  [[maybe_unused]] int batch = lstm_BATCH;
  unsigned* status = m->status + m->pending * 8;  // each launch has its own
  TRY(fill(m->exchange_1, 0xFF, (size_t)steps * 320, stream));  // nothing is published yet
  TRY(fill(status, 0x00, (size_t)32, stream));  // begins at zero
  {
    void* arguments[] = {&m->dense_inputs_1, &x, &m->inputs_1, &batch, &steps};
    // 528 blocks of 256 threads, 8704 bytes of shared memory each
    TRY(launch(product_of_inputs_1, 528, 256, 8704, arguments, stream));
  }
  {
    void* arguments[] = {&m->inputs_1, &m->param_bi, &m->param_bf, &m->param_bg, &m->param_bo, &m->units_H, &m->slots_1, &m->used_1, &m->state_h, &m->state_c, &y, &m->exchange_1, &status, &m->lengths, &batch, &first, &steps, &m->budget_ns};
    // 2 blocks of 64 threads, 640 bytes of shared memory each
    TRY(launch_together(recurrence, 2, 64, 640, arguments, stream));
  }
  m->first_step[m->pending++] = first;
  return lstm_OK;
}

