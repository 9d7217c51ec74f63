// All layers and what lies between them, for `steps` steps that begin at x and y, `first` steps after those of the run.
net_error run_chunk(net_model* m, const float* x, float* y, int first, int steps, cudaStream_t stream) {
  [[maybe_unused]] int batch = net_BATCH;
  net_error error = net_OK;
  {
    int numbers[] = {4, 7};
    void* arguments[] = {&x, &m->table_rows, &m->stream_rows, &steps, &batch, &numbers[0], &numbers[1]};
    // rows = rows of table:rows by n: 528 blocks of 256 threads, 0 bytes of shared memory each
    TRY(launch(between::look_up, 528, 256, 0, arguments, stream));
  }
  // layer new
  error = run_layer(run_new, 3, 8, 8, m, m->stream_rows, m->stream_new, first, steps, stream);
  if (error != net_OK) return error;
  {
    int numbers[] = {4, 4, 0, 1, 0};
    void* arguments[] = {&m->stream_rows, &m->stream_chunk_in, &m->lengths, &first, &steps, &batch, &numbers[0], &numbers[1], &numbers[2], &numbers[3], &numbers[4]};
    // chunk.in[0:] = rows turned around: 528 blocks of 256 threads, 0 bytes of shared memory each
    TRY(launch(between::join_columns, 528, 256, 0, arguments, stream));
  }
  {
    int numbers[] = {4, 4, 0, 1, 1};
    void* arguments[] = {&m->stream_new, &m->stream_chunk_in, &m->lengths, &first, &steps, &batch, &numbers[0], &numbers[1], &numbers[2], &numbers[3], &numbers[4]};
    // chunk.in[0:] += new turned around: 528 blocks of 256 threads, 0 bytes of shared memory each
    TRY(launch(between::join_columns, 528, 256, 0, arguments, stream));
  }
  // layer chunk, with the weights of new
  error = run_layer(run_chunk_2, 3, 8, 8, m, m->stream_chunk_in, m->stream_chunk, first, steps, stream);
  if (error != net_OK) return error;
  {
    int numbers[] = {4, 8, 0, 0, 0};
    void* arguments[] = {&m->stream_new, &m->stream_work_in, &m->lengths, &first, &steps, &batch, &numbers[0], &numbers[1], &numbers[2], &numbers[3], &numbers[4]};
    // work.in[0:] = new: 528 blocks of 256 threads, 0 bytes of shared memory each
    TRY(launch(between::join_columns, 528, 256, 0, arguments, stream));
  }
  {
    int numbers[] = {4, 8, 4, 1, 0};
    void* arguments[] = {&m->stream_chunk, &m->stream_work_in, &m->lengths, &first, &steps, &batch, &numbers[0], &numbers[1], &numbers[2], &numbers[3], &numbers[4]};
    // work.in[4:] = chunk turned around: 528 blocks of 256 threads, 0 bytes of shared memory each
    TRY(launch(between::join_columns, 528, 256, 0, arguments, stream));
  }
  // layer work
  error = run_layer(run_work, 4, 16, 6, m, m->stream_work_in, m->stream_work, first, steps, stream);
  if (error != net_OK) return error;
  {
    int numbers[] = {3, 7, 0, 0, 0};
    void* arguments[] = {&m->stream_work, &y, &m->lengths, &first, &steps, &batch, &numbers[0], &numbers[1], &numbers[2], &numbers[3], &numbers[4]};
    // $output[0:] = work: 528 blocks of 256 threads, 0 bytes of shared memory each
    TRY(launch(between::join_columns, 528, 256, 0, arguments, stream));
  }
  {
    int numbers[] = {4, 7, 3, 0, 0};
    void* arguments[] = {&m->stream_rows, &y, &m->lengths, &first, &steps, &batch, &numbers[0], &numbers[1], &numbers[2], &numbers[3], &numbers[4]};
    // $output[3:] = rows: 528 blocks of 256 threads, 0 bytes of shared memory each
    TRY(launch(between::join_columns, 528, 256, 0, arguments, stream));
  }
  return error;
}

