"""One chunk of a network of layers, run again and again: a chunk of each layer, and what lies between."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sprnn_runtime.device_protocol import Memory
from sprnn_runtime.manifest import Role
from sprnn_runtime.program import Call as LayerCall
from sprnn_runtime.program import Fork, Join, Lookup, flat
from sprnn_runtime.repeated_chunk import Repeats

if TYPE_CHECKING:
    from sprnn_runtime.enqueue import Call
    from sprnn_runtime.network_launcher import NetworkLauncher, NetworkWork


class NetworkChunk:
    """As ``Repeats`` says."""

    def __init__(self, launcher: NetworkLauncher, work: NetworkWork, call: Call, y: Any) -> None:
        self.y = y
        self._layers: list[Repeats] = []
        self._readers: list[Callable[[Memory], None]] = []
        self._launches: list[Callable[[], None]] = []
        self._launcher, self._work, self._call = launcher, work, call
        self._bound = launcher.bound(work, call)
        for step in launcher.program:
            if isinstance(step, Fork):
                self._fork(step)
            else:
                self._add(step)

    @property
    def fills_now(self) -> bool:
        return any(layer.fills_now for layer in self._layers)

    def begin(self) -> None:
        for layer in self._layers:
            layer.begin()

    def read(self, x: Memory) -> None:
        for read in self._readers:
            read(x)

    def fill(self, *, captured: bool) -> None:
        for layer in self._layers:
            layer.fill(captured=captured)

    def launch(self) -> None:
        for launched in self._launches:
            launched()

    def _fork(self, fork: Fork) -> None:
        if not self._launcher.runs_at_once(fork):
            for step in flat([fork]):
                self._add(step)
            return
        sides = self._launcher.device.sides(len(fork.branches))
        self._launches.append(sides.begin)
        for number, branch in enumerate(fork.branches):
            with sides.on(number):  # what is prepared stays on the stream on which that was done
                for step in branch:
                    self._add(step)
        self._launches.append(sides.end)

    def _add(self, step: Join | LayerCall | Lookup) -> None:
        """How the step is launched, and how it is told what it reads where that is the input."""
        launcher = self._launcher
        if isinstance(step, LayerCall):
            own = launcher.layer_call(step, self._bound, self._call)
            layer = launcher.parts[step.part].repeated(self._work.layers[step.layer], own, None)
            self._layers.append(layer)
            read, launched = layer.read, layer.launch
        else:
            prepared = launcher.device.prepare(*launcher.between(step, self._bound, self._call))
            read, launched = partial(prepared.set, 0), prepared
        self._launches.append(launched)
        if step.source == launcher.buffers(Role.INPUT)[0].name:
            self._readers.append(read)
