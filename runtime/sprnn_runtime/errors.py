"""Errors of the runtime. Each has a stable code and says what to do."""

from __future__ import annotations


class SprnnError(Exception):
    """An error for the user; ``code`` is E5xx (build) or E6xx (artifact and run)."""

    def __init__(self, code: str, message: str, help: str = "") -> None:
        self.code = code
        self.message = message
        self.help = help
        super().__init__(f"error[{code}]: {message}" + (f"\nhelp: {help}" if help else ""))


class ArtifactError(SprnnError):
    """The artifact is damaged, malicious, or of a version that this runtime does not read."""


class InputError(SprnnError):
    """An array has the wrong shape, type or place."""


class Unavailable(SprnnError):
    """What a device needs is not on this machine: a GPU, a driver, g++."""


class DeviceError(SprnnError):
    """The device failed while it ran; outputs are not valid."""


class WaitTimeout(DeviceError):
    """A wait of the kernel spent its budget. ``block``, ``step`` and ``phase`` say which, of ``layer`` in a
    network; a reversed layer's step 0 is the last one."""

    def __init__(self, block: int, step: int, phase: int, budget_ns: int, layer: str = "") -> None:
        self.block, self.step, self.phase, self.budget_ns = block, step, phase, budget_ns
        self.layer = layer
        where = f"layer '{layer}': " if layer else ""
        super().__init__(
            "E620",
            f"{where}block {block} waited for the exchange of phase {phase} in step {step} longer than "
            f"{budget_ns / 1e9:g} s; every block has left and the outputs are not valid",
            "other work may keep blocks off the GPU; give it to this kernel alone, or raise the budget",
        )
