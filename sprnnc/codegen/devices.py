"""What a kernel that runs on several devices at once has besides that of one (docs/devices.md)."""

from __future__ import annotations

from sprnnc.codegen.model import Argument, Copies
from sprnnc.schedule.choices import Exchange
from sprnnc.schedule.plan import Plan


def copied_buffers(plan: Plan) -> tuple[Copies, ...]:
    """What every device has and all others write to: exchanges, the barrier's counter, the status."""
    devices = plan.choices.devices.value
    if devices == 1 or not plan.phases:
        return ()
    counter = ["arrivals"] if plan.choices.exchange.value is Exchange.BARRIER else []
    names = [*(f"exchange_{p.index}" for p in plan.exchanges), *counter, "status"]
    return tuple(Copies(name, tuple(f"{name}_on_{d}" for d in range(devices))) for name in names)


def copy_arguments(plan: Plan) -> tuple[Argument, ...]:
    """The last arguments of the kernel: every copy of what is copied."""
    return tuple(
        Argument("unsigned*", name, f"{c.buffer}@{d}")
        for c in copied_buffers(plan)
        for d, name in enumerate(c.arguments)
    )


def on_first(buffer: str, plan: Plan) -> str:
    """The callers' ``buffer``: of several devices, that of the first."""
    return f"{buffer}@0" if plan.choices.devices.value > 1 else buffer


def everywhere(own: str, buffer: str, plan: Plan) -> str:
    """Arguments that say where to write: to ``own``, within ``buffer``, or to the same of every device."""
    if plan.choices.devices.value == 1:
        return own
    return f"copies_of_{buffer}, {own}" if own == buffer else f"copies_of_{buffer}, {own} - {buffer}"


def at_system_scope(text: str) -> str:
    """A device helper whose accesses are ordered for all devices of a host, not for one alone."""
    return text.replace(".gpu.", ".sys.").replace("atomicCAS(", "atomicCAS_system(")
