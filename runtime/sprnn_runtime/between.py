"""What lies between the layers of a network, as launches: for ``Network`` and for exported C code."""

from __future__ import annotations

from sprnn_runtime.launch import CALLERS, Argument, Batch, First, KernelStep, Number, Pointer, Steps
from sprnn_runtime.manifest import Manifest
from sprnn_runtime.program import LENGTHS_BUFFER, Join, Lookup, stream_size, table_buffer


def between(step: Join | Lookup, manifest: Manifest) -> KernelStep:
    """The kernel of ``step`` and its arguments; the first one is what it reads."""
    kernels = {kernel.name: kernel for kernel in manifest.kernels}
    source, to = (_stream(name, manifest) for name in (step.source, step.to))
    if isinstance(step, Lookup):
        table = next(b for b in manifest.buffers if b.name == table_buffer(step.to))
        rows, columns = table.dims(0)
        numbers = (Steps(), Batch(), Number(columns), Number(rows))
        return KernelStep(kernels["look_up"], (source, Pointer(table.name, 0), to, *numbers))
    size, width = (Number(stream_size(manifest, name)) for name in (step.source, step.to))
    first, turn, add = (Number(int(n)) for n in (step.first, step.turn, step.add))
    lengths: tuple[Argument, ...] = (Pointer(LENGTHS_BUFFER, 0), First())
    kernel = kernels.get("join_columns")
    if kernel is None:  # of format 1.2, which knew of no lengths
        kernel, lengths = kernels["join"], ()
    return KernelStep(kernel, (source, to, *lengths, Steps(), Batch(), size, width, first, turn, add))


def _stream(name: str, manifest: Manifest) -> Pointer:
    buffer = next(b for b in manifest.buffers if b.name == name)
    return Pointer(name, buffer.bytes(1) if buffer.role in CALLERS else 0)
