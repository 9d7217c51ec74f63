"""One chunk of a network of layers, run again and again: a chunk of each layer, and what lies between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sprnn_runtime.device_protocol import Memory
from sprnn_runtime.manifest import Role
from sprnn_runtime.program import Call as LayerCall
from sprnn_runtime.program import Step
from sprnn_runtime.repeated_chunk import Repeats

if TYPE_CHECKING:
    from sprnn_runtime.enqueue import Call
    from sprnn_runtime.network_launcher import NetworkLauncher, NetworkWork

Bound = Mapping[str, Memory]


class NetworkChunk:
    """As ``Repeats`` says."""

    def __init__(self, launcher: NetworkLauncher, work: NetworkWork, call: Call, y: Any) -> None:
        self.y = y
        self._layers: list[Repeats] = []
        self._readers: list[Callable[[Memory], None]] = []
        self._launches: list[Callable[[], None]] = []
        bound = launcher.bound(work, call)
        for step in launcher.program:
            read, launched = self._piece(step, launcher, work, bound, call)
            self._launches.append(launched)
            if step.source == launcher.buffers(Role.INPUT)[0].name:
                self._readers.append(read)

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

    def _piece(
        self, step: Step, launcher: NetworkLauncher, work: NetworkWork, bound: Bound, call: Call
    ) -> tuple[Callable[[Memory], None], Callable[[], None]]:
        """How a step is told what it reads, and how it is launched."""
        if isinstance(step, LayerCall):
            own, mine = launcher.layer_call(step, bound, call), work.layers[step.layer]
            layer = launcher.parts[step.part].repeated(mine, own, None)
            self._layers.append(layer)
            return layer.read, layer.launch
        prepared = launcher.device.prepare(*launcher.between(step, bound, call))
        return partial(prepared.set, 0), prepared
