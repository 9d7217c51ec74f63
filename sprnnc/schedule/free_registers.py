"""Registers of a thread that are free for what depends on the matrices."""

from __future__ import annotations

from sprnnc.schedule.choices import Choices
from sprnnc.target import Target

# Registers that the kernel needs besides slots: addresses, counters, loads in flight. Taken low: a
# plan that spills comes back with a smaller budget.
_BASE_REGISTERS = 40


def free_registers(choices: Choices, target: Target) -> int:
    """What a thread has for slots, sums and the states of its units."""
    per_thread = min(target.max_registers_per_thread, target.registers_per_sm // choices.threads.value)
    return per_thread - _BASE_REGISTERS
