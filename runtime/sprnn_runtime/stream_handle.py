"""Streams of other libraries, as the number that the CUDA driver knows them by."""

from __future__ import annotations

from typing import Any

from sprnn_runtime.errors import InputError

LEGACY_DEFAULT = 1
"""CU_STREAM_LEGACY: a handle that means the default stream, where 0 could be mistaken for none."""


def stream_handle(stream: Any) -> int:
    """The handle of a ``torch.cuda.Stream``, of an object with ``__cuda_stream__`` (cuda.core), of one with
    ``ptr`` (CuPy), or of a whole number. Raises InputError E604 for anything else.
    """
    handle = getattr(stream, "cuda_stream", None)
    if handle is None and hasattr(stream, "__cuda_stream__"):
        protocol = stream.__cuda_stream__
        _, handle = protocol() if callable(protocol) else protocol
    if handle is None:
        handle = getattr(stream, "ptr", stream)
    if isinstance(handle, bool) or not isinstance(handle, int) or handle < 0:
        help = "give a torch.cuda.Stream, a cuda.core Stream, or the handle of a CUstream"
        raise InputError("E604", f"the stream is {type(stream).__name__}, which is no stream", help)
    return handle or LEGACY_DEFAULT
