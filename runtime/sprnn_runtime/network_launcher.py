"""What a network does on a device: the kernels of its layers, each with work memory of its own, and joins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sprnn_runtime import launch
from sprnn_runtime.between import between
from sprnn_runtime.device_protocol import Device, Memory
from sprnn_runtime.enqueue import Call, Launcher
from sprnn_runtime.errors import WaitTimeout
from sprnn_runtime.loaded import Loaded
from sprnn_runtime.manifest import Kernel, Manifest, Role
from sprnn_runtime.network_chunk import NetworkChunk
from sprnn_runtime.program import (
    LENGTHS_BUFFER,
    RESETS_BUFFER,
    Fork,
    Join,
    Lookup,
    Step,
    flat,
    state_buffer,
)
from sprnn_runtime.program import Call as LayerCall
from sprnn_runtime.repeated_chunk import Repeats
from sprnn_runtime.work import Work

KERNELS = ({"join_columns", "look_up"}, {"join", "look_up"})
"""Names of the kernels between layers: of this format, and of 1.2, whose ``join`` knew of no lengths."""

_DONE = object()
_OF_COLUMNS = {Role.LENGTHS: LENGTHS_BUFFER, Role.RESETS: RESETS_BUFFER}
Bound = Mapping[str, Memory]
Launch = tuple[Kernel, list[Any]]


class NetworkWork(Work):
    """``layers``: what each layer works in, by name. The rest is what lies between them."""

    def __init__(
        self, manifest: Manifest, device: Device, layers: Mapping[str, Work], *, keeps_status: bool
    ) -> None:
        self.layers = dict(layers)
        super().__init__(manifest, device, keeps_status=keeps_status)

    def check(self, budget_ns: int | None, first: int = 0) -> None:
        """As any Work's; the error names the layer."""
        self.unchecked = False
        for layer in self.layers:
            self.check_layer(layer, budget_ns, first)

    def check_layer(self, layer: str, budget_ns: int | None, first: int) -> None:
        """The same of one layer, whose last launch began at step ``first``."""
        try:
            self.layers[layer].check(budget_ns, first)
        except WaitTimeout as error:
            raise WaitTimeout(error.block, error.step, error.phase, error.budget_ns, layer) from None

    def clear(self) -> None:
        super().clear()
        for work in self.layers.values():
            work.clear()


class NetworkLauncher(Launcher):
    """A Launcher to whoever runs it. Layers run one after another, each over all steps; those of a fork at
    once, where the device holds the blocks of all."""

    def __init__(
        self, program: Sequence[Step], parts: Mapping[str, Launcher], loaded: Loaded, device: Device
    ) -> None:
        """``parts``: the kernels of every layer that does not share another one's."""
        super().__init__(loaded, device)
        self.program = tuple(program)
        self.parts = dict(parts)

    @property
    def calls(self) -> Iterator[LayerCall]:
        return (step for step in flat(self.program) if isinstance(step, LayerCall))

    @property
    def most_steps(self) -> int:
        return min(part.most_steps for part in self.parts.values())

    def work(self, *, keeps_status: bool) -> NetworkWork:
        layers = {c.layer: self.parts[c.part].work(keeps_status=keeps_status) for c in self.calls}
        return NetworkWork(self.manifest, self.device, layers, keeps_status=keeps_status)

    def run(self, work: Work, call: Call) -> None:
        """A layer's status is looked at before its next launch clears it, or when all has run."""
        assert isinstance(work, NetworkWork)
        for _ in self._all_launches(work, call, looks=True):
            pass
        for c in self.calls:
            *_, (last, _) = launch.chunks(call.steps, self.parts[c.part].most_steps)
            work.check_layer(c.layer, call.budget_ns, last)

    def enqueue_all(self, work: Work, call: Call) -> None:
        assert isinstance(work, NetworkWork)
        for _ in self._all_launches(work, call, looks=False):
            pass

    def reserve_repeated(self, work: Work, steps: int) -> None:
        assert isinstance(work, NetworkWork)
        work.reserve_chunk(steps)
        for c in self.calls:
            mine = work.layers[c.layer]
            before = mine.moves
            self.parts[c.part].reserve_repeated(mine, steps)
            work.moves += mine.moves - before

    def repeated(self, work: Work, call: Call, y: Any) -> Repeats:
        assert isinstance(work, NetworkWork)
        return NetworkChunk(self, work, call, y)

    def layer_call(self, step: LayerCall, bound: Bound, call: Call) -> Call:
        """The call of one layer within that of the network."""
        memory = {}
        for buffer in self.parts[step.part].manifest.buffers:
            if buffer.role is Role.INPUT:
                memory[buffer.name] = bound[step.source]
            elif buffer.role is Role.OUTPUT:
                memory[buffer.name] = bound[step.to]
            elif buffer.role is Role.STATE:
                memory[buffer.name] = bound[state_buffer(dict(step.states)[buffer.state])]
            elif buffer.role in _OF_COLUMNS and _OF_COLUMNS[buffer.role] in bound:
                memory[buffer.name] = bound[_OF_COLUMNS[buffer.role]]
        return replace(call, memory=memory)

    def between(self, step: Join | Lookup, bound: Bound, call: Call) -> Launch:
        """The kernel of a step between layers and its arguments, of which the first is what it reads."""
        launched = between(step, self.manifest)
        return launched.kernel, self.values(launched, bound, call, 0, call.steps)

    def runs_at_once(self, fork: Fork) -> bool:
        """Whether the blocks of all branches are resident together; else some would wait for ever."""
        blocks = [max(map(self._blocks, branch), default=0) for branch in fork.branches]
        return self.device.holds(sum(blocks))

    def _blocks(self, step: Join | LayerCall | Lookup) -> int:
        """Of kernels whose blocks wait for each other."""
        if not isinstance(step, LayerCall):
            return 0
        kernels = self.parts[step.part].manifest.kernels
        return max((k.grid for k in kernels if k.cooperative), default=0)

    def _all_launches(self, work: NetworkWork, call: Call, *, looks: bool) -> Iterator[None]:
        work.reserve_chunk(call.steps)
        return self._launches(self.program, work, self.bound(work, call), call, looks)

    def _launches(
        self, steps: Iterable[Step], work: NetworkWork, bound: Bound, call: Call, looks: bool
    ) -> Iterator[None]:
        """Launches everything; comes up for air after every chunk of a layer."""
        for step in steps:
            if isinstance(step, Fork):
                yield from self._fork(step, work, bound, call, looks)
                continue
            if not isinstance(step, LayerCall):
                self.device.launch(*self.between(step, bound, call))
                continue
            part, own, before = self.parts[step.part], self.layer_call(step, bound, call), None
            for first, count in launch.chunks(call.steps, part.most_steps):
                if looks and before is not None:
                    work.check_layer(step.layer, call.budget_ns, before)
                part.enqueue(work.layers[step.layer], own, first, count)
                before = first
                yield

    def _fork(self, fork: Fork, work: NetworkWork, bound: Bound, call: Call, looks: bool) -> Iterator[None]:
        """Chunk by chunk in turn, so that a look at the one does not keep the others from running."""
        branches = [self._launches(branch, work, bound, call, looks) for branch in fork.branches]
        if not self.runs_at_once(fork):
            for branch in branches:
                yield from branch
            return
        sides, left = self.device.sides(len(branches)), dict(enumerate(branches))
        sides.begin()
        try:
            while left:
                for number in list(left):
                    with sides.on(number):
                        if next(left[number], _DONE) is _DONE:
                            del left[number]
                yield
        finally:
            sides.end()
