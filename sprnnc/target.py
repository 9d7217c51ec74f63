"""Targets: one record describes a device; every pass that depends on hardware asks it alone."""

from __future__ import annotations

from dataclasses import dataclass

from sprnnc.diagnostics import CompileError, fail, near_match


@dataclass(frozen=True, slots=True)
class Target:
    """A device as the passes see it. ``arch`` is NVRTC's name; None where nothing is built for a GPU.

    ``bulk_copy``: whether it has a copy engine into shared memory (sm_90 on). ``first_poll_cycles``:
    cycles from a store until another SM can see it, less a load's way there. ``clock_ghz``, ``exchange_us``
    and ``dense_tflops`` are measured, and None and empty where nothing was: microseconds that an exchange
    alone takes, by rising bytes of the exchanged vector, and what a library's product of all steps reaches.
    ``link_us``: microseconds that a value published to another device of the host comes later, and
    ``link_bytes_per_us`` what a device sends to all others.
    """

    name: str
    arch: str | None
    sms: int
    registers_per_sm: int
    shared_bytes_per_block: int
    default_threads: int
    description: str
    bulk_copy: bool = False
    first_poll_cycles: int = 0
    max_registers_per_thread: int = 255
    max_threads_per_block: int = 1024
    warp_lanes: int = 32
    banks: int = 32
    bank_bytes: int = 4
    clock_ghz: float | None = None
    exchange_us: tuple[tuple[int, float], ...] = ()
    dense_tflops: float | None = None
    link_us: float | None = None
    link_bytes_per_us: float | None = None

    def exchange_floor_us(self, size_bytes: int) -> float | None:
        """Microseconds of an exchange alone: linear between what was measured, its ends extended."""
        if len(self.exchange_us) < 2:
            return None
        above = sum(at < size_bytes for at, _ in self.exchange_us)
        right = min(max(above, 1), len(self.exchange_us) - 1)
        (x0, y0), (x1, y1) = self.exchange_us[right - 1 : right + 1]
        return y0 + (y1 - y0) * (size_bytes - x0) / (x1 - x0)

    def link_floor_us(self, size_bytes: int, devices: int) -> float | None:
        """Microseconds by which a vector comes later where each of ``devices`` publishes its part to all."""
        if devices == 1:
            return 0.0
        if self.link_us is None or self.link_bytes_per_us is None:
            return None
        return self.link_us + size_bytes * (devices - 1) / devices / self.link_bytes_per_us


# What benchmarks/exchange_floor.cu measures on one H200, 128 SMs: bytes a step, the best microseconds of
# benchmarks/results/h200_floors.txt.
_H200_EXCHANGE_US = (
    (2048, 0.610),
    (4096, 0.602),
    (8192, 0.644),
    (9216, 0.686),
    (14336, 0.746),
    (18432, 0.851),
    (32768, 1.018),
    (65536, 1.400),
)


# NVLink, not measured here. One hop of a protocol whose data is its own flag, as ours is, takes 0.6 us in
# NCCL's model of itself: hwLat of NVLink and LL in its src/graph/tuning.cc, which
# https://github.com/NVIDIA/nccl/issues/1334 shows. That includes what our exchange takes on one device, so
# the sum of both is rather too long. Of the 450 GB/s that an H100 sends 370 are data, as a maintainer of NCCL
# says in https://github.com/NVIDIA/nccl-tests/issues/212.
_NVLINK_US, _NVLINK_BYTES_PER_US = 0.6, 370e3


# Shared memory per block and SM counts: CUDA C++ Programming Guide, "Technical Specifications per
# Compute Capability", and the vendor's data sheets for the parts named.
TARGETS = {
    t.name: t
    for t in (
        Target("sm_80", "sm_80", 108, 65536, 163 * 1024, 512, "A100"),
        Target("sm_86", "sm_86", 84, 65536, 99 * 1024, 512, "RTX A6000, RTX 3090 class"),
        Target("sm_89", "sm_89", 128, 65536, 99 * 1024, 512, "RTX 4090, L40 class"),
        Target(
            "sm_90",
            "sm_90",
            132,
            65536,
            227 * 1024,
            512,
            "H100 SXM, H200",
            True,
            120,
            clock_ghz=1.98,
            exchange_us=_H200_EXCHANGE_US,
            dense_tflops=250,  # H200: a whole LSTM 1024 at 4 columns, 0.13 us a step more than its recurrence
            link_us=_NVLINK_US,
            link_bytes_per_us=_NVLINK_BYTES_PER_US,
        ),
        Target("sm_100", "sm_100", 148, 65536, 227 * 1024, 512, "B200", True, 120),
        Target("sm_120", "sm_120", 170, 65536, 99 * 1024, 512, "RTX 5090 class", True, 120),
        Target("sim", None, 4, 16384, 48 * 1024, 64, "a small device that exists on the CPU only", True),
    )
}


def find_target(name: str) -> Target:
    """The target called ``name``. Raises CompileError E401 that lists what there is."""
    if isinstance(name, str) and name in TARGETS:
        return TARGETS[name]
    raise unknown_target(str(name))


def unknown_target(name: str) -> CompileError:
    near = near_match(name, TARGETS)
    hint = f"did you mean '{near}'? " if near else ""
    known = ", ".join(f"{t.name} ({t.description})" for t in TARGETS.values())
    return fail("E401", f"unknown target '{name}'", help=f"{hint}known targets: {known}")
