"""Decisions of the compiler: each is a value with the reason for it, by name.

``Choices`` are made before the partition, because the number of blocks and warps shape it. The
user overrides any of them in the schedule block, or with ``--set NAME=VALUE``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from sprnnc.layout.options import BankOrder

T = TypeVar("T", bound="int | Enum")


class Exchange(Enum):
    """How blocks see each other's results."""

    LAMPORT = "lamport"
    BARRIER = "barrier"


class Activations(Enum):
    """Which bodies the elementwise functions have."""

    ACCURATE = "accurate"
    FAST = "fast"


class Fetch(Enum):
    """How a block brings an exchanged vector into its shared memory."""

    THREADS = "threads"  # every thread loads, looks, and stores what it loaded
    BULK = "bulk"  # the copy engine brings runs of it; warps look at what came


class InputProducts(Enum):
    """What multiplies the inputs: before the loop, for all steps, or in it."""

    LIBRARY = "library"  # the GPU vendor's, where the runtime finds it; otherwise the kernel
    KERNEL = "kernel"  # one of the artifact's own, the same on every machine
    JOINED = "joined"  # the recurrence itself, non-zero by non-zero, while a block waits for the others


class Resets(Enum):
    """Whether the states of a column can begin anew in mid-sequence."""

    NONE = "none"
    BY_MASK = "by_mask"  # a call may bring a mask of steps and columns


class UnitOrder(Enum):
    """Where a block's units lie within its part of an exchanged vector."""

    EVEN = "even"  # as reads the banks of shared memory most evenly
    PLAIN = "plain"  # in the order of their numbers


class Unpack(Enum):
    """When value and position are taken out of a slot's word."""

    FITTING = "fitting"  # once where the registers hold it, otherwise in each step
    ONCE = "once"  # before the loop, which costs a second register a slot
    EACH_STEP = "each_step"  # an instruction more a slot, one register


class Indices(Enum):
    """What has an index of its own."""

    FITTING = "fitting"  # the part of a block with which a step takes the fewest cycles
    BLOCK = "block"  # a block of the weights' patterns, as large as fits: one position serves its values
    VALUE = "value"  # every value


class Tier(Enum):
    """Where a slot lives for the whole sequence, fastest first."""

    REGISTER = "register"
    SHARED = "shared"
    STREAMED = "streamed"


class Encoding(Enum):
    """How values and position of one slot of one lane are packed (see ``slot_format.py``)."""

    NARROW = "narrow"  # one word: 16 bits of value above a 16-bit position
    WIDE = "wide"  # two words: value, position
    BLOCK = "block"  # the values of a tile, then a word of position


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """One decision: what, why, and whether the user made it."""

    value: T
    reason: str
    by_user: bool = False

    @property
    def text(self) -> str:
        """The value as the language spells it."""
        return str(self.value.value if isinstance(self.value, Enum) else self.value)


@dataclass(frozen=True, slots=True)
class Choices:
    """Every decision that a schedule block can override, by field name."""

    devices: Choice[int]
    blocks: Choice[int]
    threads: Choice[int]
    exchange: Choice[Exchange]
    fetch: Choice[Fetch]
    couriers: Choice[int]
    polls_in_flight: Choice[int]
    first_poll_cycles: Choice[int]
    activations: Choice[Activations]
    column_width: Choice[int]
    lanes_per_row: Choice[int]
    bank_order: Choice[BankOrder]
    unit_order: Choice[UnitOrder]
    indices: Choice[Indices]
    register_slots: Choice[int]
    shared_slots: Choice[int]
    unpack: Choice[Unpack]
    in_flight: Choice[int]
    unroll: Choice[int]
    prefetch: Choice[int]
    chain: Choice[int]
    input_products: Choice[InputProducts]
    resets: Choice[Resets]
    steps_per_launch: Choice[int]

    @property
    def warps(self) -> int:
        return self.threads.value // 32

    @property
    def all_blocks(self) -> int:
        """Blocks that exchange with each other: those of every device."""
        return self.devices.value * self.blocks.value

    def items(self) -> Iterator[tuple[str, Choice[Any]]]:
        """Every decision by name, in the order of the fields."""
        for field in dataclasses.fields(self):
            yield field.name, getattr(self, field.name)


def print_choices(choices: Choices) -> str:
    """Every decision with its reason, one a line."""
    lines = [f"{n:<17} {c.text:<9}{' (yours)' if c.by_user else ''} {c.reason}" for n, c in choices.items()]
    return "\n".join(lines) + "\n"
