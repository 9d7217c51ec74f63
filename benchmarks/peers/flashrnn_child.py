"""The process that FlashRNN runs in: reads a question, times the kernel, writes an answer.

    python -m benchmarks.peers.flashrnn_child QUESTION.npz ANSWER.npz

Both are written and read by ``flashrnn_peer``.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.flashrnn_layouts import Alternating, Fused

Arrays = dict[str, NDArray[Any]]
# Cycles in which the call is enqueued: the processor's time does not count, unless the call itself waits.
_HELD_CYCLES = 2_000_000


def main(question: str, answer: str) -> None:
    import torch

    with np.load(question, allow_pickle=False) as file:
        arrays: Arrays = {name: file[name] for name in file.files}
    options = json.loads(str(arrays.pop("options")))
    call = prepare(torch, arrays, options["function"])
    y, times = timed(torch, call, options["warmups"], options["repeats"])
    steps = len(arrays["x"])
    partial = Path(answer).with_suffix(".partial.npz")
    np.savez(partial, y=y, times_us=np.array(times) / steps)
    partial.replace(answer)


def prepare(torch: Any, arrays: Arrays, function: str) -> Callable[[], Any]:
    """A call that runs the whole sequence and returns h [T, B, H] on the GPU.

    Everything lies as the kernel wants it before the call, with one head: states [states, B, 1, H], the rest
    as its layout says.
    """
    core = load_core(torch)
    layout: Fused | Alternating = Alternating() if function == "gru" else Fused()
    gates, hidden = arrays["bias"].shape
    steps, batch, _ = arrays["x"].shape
    config = core.FlashRNNConfig(
        backend=layout.backend, function=function, hidden_dim=hidden, num_heads=1, batch_size=batch
    )
    kernel = getattr(core, layout.kernel).instance(config)
    x = on_gpu(torch, arrays["x"])
    recurrent = on_gpu(torch, layout.recurrent(arrays["recurrent"])[None])
    bias = on_gpu(torch, layout.bias(arrays["bias"])[None])
    state = torch.zeros(config.num_states, batch, 1, hidden, dtype=torch.bfloat16, device="cuda")
    shape = steps, batch, 1, *layout.gated(hidden, gates)
    if "input_weights" in arrays:
        # Rows in an order in which the product already lies as the kernel wants it.
        weights = on_gpu(torch, layout.rows(arrays["input_weights"]).reshape(-1, hidden))

        def inputs() -> Any:
            return (x.reshape(-1, hidden) @ weights.T).reshape(*shape)

    else:
        one = x.reshape(steps, batch, 1, *layout.gated(hidden, 1))
        repeated = one.expand(*shape).contiguous()

        def inputs() -> Any:
            return repeated

    return lambda: kernel.forward(False, inputs(), state, recurrent, bias)[0][0, 1:, :, 0]


def on_gpu(torch: Any, array: NDArray[Any]) -> Any:
    contiguous = np.ascontiguousarray(array, np.float32)
    return torch.from_numpy(contiguous).to(device="cuda", dtype=torch.bfloat16)


def load_core(torch: Any) -> Any:
    """FlashRNN's module, with what keeps it from building here replaced.

    Its own query of the GPU does not compile with CUDA 13, whose cudaDeviceProp lost members; its pause
    before each build is for builds in parallel; its backward kernel need not work; and it builds kernels
    whose long names agree in their first letters over each other.
    """
    core: Any = importlib.import_module("flashrnn.flashrnn.flashrnn")
    properties = torch.cuda.get_device_properties(0)
    info = {
        "maxThreadsPerBlock": 1024,
        "regsPerMultiprocessor": properties.regs_per_multiprocessor,
        "multiProcessorCount": properties.multi_processor_count,
        "sharedMemPerBlockOptin": properties.shared_memory_per_block_optin,
    }
    core.get_gpu_info = lambda device_id: info
    core.load_parametric_and_test_and_bisect = functools.partial(
        core.load_parametric_and_test_and_bisect, check_backward=False
    )
    builder: Any = importlib.import_module("flashrnn.flashrnn.cuda_init")
    builder.time = types.SimpleNamespace(sleep=lambda seconds: None)
    builder._load = functools.partial(load_once, builder._load)
    return core


def load_once(load: Callable[..., Any], name: str, sources: Any, **options: Any) -> Any:
    """Builds under a name of its own for every set of flags: a later process finds the build there.

    A build that was killed leaves a lock, for which the next one would wait without end.
    """
    flags = json.dumps([name, options["extra_cflags"], options["extra_cuda_cflags"]])
    unique = f"{name.split('_')[0]}_{hashlib.sha256(flags.encode()).hexdigest()[:16]}"
    extension: Any = importlib.import_module("torch.utils.cpp_extension")
    Path(extension._get_build_directory(unique, False), "lock").unlink(missing_ok=True)
    return load(unique, sources, **options)


def timed(
    torch: Any, call: Callable[[], Any], warmups: int, repeats: int
) -> tuple[NDArray[np.float32], list[float]]:
    """The last call's h as float32, and microseconds of every call but the warm-ups."""
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    with torch.inference_mode():
        for _ in range(warmups + repeats):
            torch.cuda._sleep(_HELD_CYCLES)
            first.record()
            y = call()
            last.record()
            last.synchronize()
            times.append(first.elapsed_time(last) * 1e3)
        return y.float().cpu().numpy(), times[warmups:]


if __name__ == "__main__":
    main(*sys.argv[1:])
