"""Streams beside one of the GPU, for branches of a network that run at once; capturable in a graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


class CudaSides:
    """As ``Sides`` says: forks and joins are events, and nobody on the host waits."""

    def __init__(
        self,
        call: Callable[..., Any],
        flags: tuple[Any, Any],
        main: Any,
        count: int,
        enter: Callable[..., Any],
    ) -> None:
        """``flags``: of streams and events. ``enter``: what makes a stream current."""
        self._call, self._enter, self._main = call, enter, main
        of_stream, of_event = flags
        self._others = [call("cuStreamCreate", of_stream) for _ in range(count - 1)]
        self._begun = call("cuEventCreate", of_event)
        self._ended = [call("cuEventCreate", of_event) for _ in self._others]

    def on(self, number: int) -> AbstractContextManager[None]:
        found: AbstractContextManager[None] = self._enter(self._others[number - 1] if number else self._main)
        return found

    def begin(self) -> None:
        self._call("cuEventRecord", self._begun, self._main)
        for stream in self._others:
            self._call("cuStreamWaitEvent", stream, self._begun, 0)

    def end(self) -> None:
        for stream, event in zip(self._others, self._ended, strict=True):
            self._call("cuEventRecord", event, stream)
            self._call("cuStreamWaitEvent", self._main, event, 0)

    def close(self) -> None:
        """Waits for the others and destroys them."""
        for stream in self._others:
            self._call("cuStreamSynchronize", stream)
            self._call("cuStreamDestroy", stream)
        for event in (self._begun, *self._ended):
            self._call("cuEventDestroy", event)
