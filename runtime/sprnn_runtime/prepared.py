"""A launch with arguments that stay, for devices that have no shorter way to repeat one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Repeated:
    """Calls ``function`` with its arguments, as they are then."""

    def __init__(self, function: Callable[[Sequence[Any]], None], arguments: Sequence[Any]) -> None:
        self._function = function
        self._arguments = list(arguments)

    def set(self, index: int, memory: Any) -> None:
        self._arguments[index] = memory

    def __call__(self) -> None:
        self._function(self._arguments)
