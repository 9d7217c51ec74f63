"""One chunk of a fixed number of steps, run again and again with the fewest calls of the device.

The exchange must hold "not yet" before a launch. Instead of filling it each time, there is room for several
launches, which take turns; all are filled at once when every turn is used. A launch that goes into a captured
graph has a place of its own and fills it each time, since the graph may run again without us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sprnn_runtime.device_protocol import Memory, Prepared
from sprnn_runtime.launch import FillStep
from sprnn_runtime.manifest import Role
from sprnn_runtime.work import Work

if TYPE_CHECKING:
    from sprnn_runtime.enqueue import Call, Launcher

_MOST_TURNS = 64


class Repeats(Protocol):
    """``fill`` where ``fills_now`` says so, then ``launch``. ``y``: the array that it writes."""

    y: Any

    @property
    def fills_now(self) -> bool:
        """Whether something must be filled before the next launch."""

    def begin(self) -> None:
        """Something else has worked in the same memory: all turns are used up."""

    def read(self, x: Memory) -> None:
        """Reads ``x`` from the next launch on."""

    def fill(self, *, captured: bool) -> None:
        """On the current stream. ``captured``: of a launch that goes into a graph."""

    def launch(self) -> None:
        """On the stream on which this was made."""


class RepeatedChunk:
    """The kernels of one layer, as ``Repeats`` says."""

    @staticmethod
    def reserve(launcher: Launcher, work: Work, steps: int) -> None:
        """Asks for room for all turns of a chunk of ``steps`` steps, and for all else that it works in."""
        turns = _turns(launcher, steps)
        for step in filter(_takes_turns, _fills(launcher, work)):
            work.reserve(step.buffer, step.extent.bytes(steps * turns))
            work.reserve(_of_graphs(step.buffer), step.extent.bytes(steps))
        work.reserve_chunk(steps)

    def __init__(self, launcher: Launcher, work: Work, call: Call, y: Any) -> None:
        self.y = y
        self._device, self._steps = launcher.device, call.steps
        self._turns = _turns(launcher, call.steps)
        self._turn, self._captured = self._turns, False
        self._prepared = launcher.prepare(work, call, call.steps)
        self._launches = [p for _, p in self._prepared]
        self._inputs = [place for b in launcher.buffers(Role.INPUT) for place in self._places(b.name)]
        fills = _fills(launcher, work)
        self._always = [(work.memory[s.buffer], s) for s in fills if not _takes_turns(s)]
        self._in_turn = [(work.memory[s.buffer], s) for s in fills if _takes_turns(s)]
        self._moves = [self._moves_of(turn) for turn in range(self._turns)]
        self._of_graphs = [(work.memory[_of_graphs(s.buffer)], s) for _, s in self._in_turn]

    @property
    def fills_now(self) -> bool:
        return self._turn == self._turns or bool(self._always)

    def begin(self) -> None:
        self._turn = self._turns

    def read(self, x: Memory) -> None:
        for launch, index in self._inputs:
            launch.set(index, x)

    def fill(self, *, captured: bool) -> None:
        for memory, step in self._always:
            self._device.fill(memory, step.extent.bytes(self._steps), step.fill)
        if captured:
            for memory, step in self._of_graphs:
                self._device.fill(memory, step.extent.bytes(self._steps), step.fill)
                for launch, index in self._places(step.buffer):
                    launch.set(index, memory)
            self._captured = True
            return
        if self._turn == self._turns:
            for memory, step in self._in_turn:
                self._device.fill(memory, step.extent.bytes(self._steps) * self._turns, step.fill)
            self._turn = 0

    def launch(self) -> None:
        if self._captured:
            self._captured = False
        else:
            for launch, index, memory in self._moves[self._turn]:
                launch.set(index, memory)
            self._turn += 1
        for launch in self._launches:
            launch()

    def _moves_of(self, turn: int) -> list[tuple[Prepared, int, Memory]]:
        """What is set for one turn: the place of each buffer that takes turns."""
        return [
            (launch, index, self._device.offset(memory, turn * step.extent.bytes(self._steps)))
            for memory, step in self._in_turn
            for launch, index in self._places(step.buffer)
        ]

    def _places(self, buffer: str) -> list[tuple[Prepared, int]]:
        """The arguments that are bound to ``buffer``."""
        return [(p, i) for names, p in self._prepared for i, name in enumerate(names) if name == buffer]


def _fills(launcher: Launcher, work: Work) -> list[FillStep]:
    return [s for s in launcher.steps if isinstance(s, FillStep) and not work.is_status(s.buffer)]


def _of_graphs(buffer: str) -> str:
    """Where launches of captured graphs find what ``buffer`` is for others: no buffer's name."""
    return f"{buffer}:of graphs"


def _takes_turns(step: FillStep) -> bool:
    return step.extent.fixed == 0


def _turns(launcher: Launcher, steps: int) -> int:
    return max(1, min(_MOST_TURNS, launcher.manifest.steps_per_launch // steps))
