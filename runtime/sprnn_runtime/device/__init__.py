"""Hand-written device helpers (CUDA C) and the headers that run them on a CPU; data, not code."""
