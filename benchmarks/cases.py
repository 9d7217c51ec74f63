"""The table of what is measured, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from benchmarks.cells import CellKind, Mode

STEPS = 256
RNN, LSTM, GRU = CellKind.RNN, CellKind.LSTM, CellKind.GRU


class Rung(Enum):
    """Rungs of the ablation's ladder: each adds one idea to the one before."""

    NAIVE = "naive"
    WIDE = "wide"
    BANK_AWARE = "bank-aware"
    LAMPORT = "lamport"
    TUNED = "tuned"


class Group(Enum):
    """Which table or plot a case is for."""

    ACCEPTANCE = "acceptance"
    DENSITY = "density"
    SIZE = "size"
    BATCH = "batch"
    ABLATION = "ablation"
    LAYER = "layer"
    FLASHRNN = "flashrnn"


@dataclass(frozen=True, slots=True)
class Case:
    """One row: ``required`` is the ratio to the best peer that it must reach, None where none is set.

    ``density``: the share of non-zeros in each recurrent matrix, exactly.
    """

    kind: CellKind
    hidden: int
    batch: int
    density: float
    dtype: str = "fp16"
    mode: Mode = Mode.RECURRENT
    steps: int = STEPS
    rung: Rung = Rung.TUNED
    required: float | None = None
    groups: frozenset[Group] = frozenset()

    @property
    def accumulate(self) -> str:
        """Chains of fp16 additions where the storage allows them: they are faster and precise enough."""
        return "fp16" if self.dtype == "fp16" else "fp32"

    @property
    def problem_name(self) -> str:
        """Names weights and inputs: cases that differ in their schedule alone share them."""
        return (
            f"{self.kind.name.lower()}-{self.hidden}-b{self.batch}-d{self.density:g}-{self.dtype}"
            f"-{self.mode.value}-t{self.steps}"
        )

    @property
    def name(self) -> str:
        """Unique in the table, a file's name, and what ``--only`` is matched with."""
        return f"{self.problem_name}-{self.rung.value}"

    @property
    def has_peers(self) -> bool:
        """Lower rungs of the ladder are compared with the tuned one, whose row has the peers."""
        return self.rung is Rung.TUNED

    @property
    def nonzeros(self) -> int:
        """Of one recurrent matrix."""
        return round(self.density * self.hidden * self.hidden)

    @property
    def total_nonzeros(self) -> int:
        return self.nonzeros * len(self.kind.gates)


# What must be reached: cell, H, batch, density, storage, ratio to the best of all peers.
_ACCEPTANCE = (
    (RNN, 2304, 4, 0.30, "fp16", 2.8),
    (RNN, 2304, 4, 0.10, "fp16", 3.2),
    (RNN, 2304, 1, 0.10, "fp16", 2.0),
    (RNN, 2304, 4, 0.30, "fp32", 2.0),
    (RNN, 1792, 4, 0.10, "fp16", 3.0),
    (RNN, 1152, 4, 0.30, "fp16", 2.5),
    (RNN, 4096, 4, 0.10, "fp16", 7.0),
    (RNN, 5760, 2, 0.01, "fp16", 18.0),
    (RNN, 8192, 4, 0.10, "fp16", 10.0),
    (LSTM, 512, 4, 0.10, "fp16", 1.7),
    (LSTM, 1024, 4, 0.10, "fp16", 2.7),
    (LSTM, 2304, 4, 0.10, "fp16", 6.5),
    (LSTM, 4096, 4, 0.10, "fp16", 11.0),
    (LSTM, 4096, 4, 0.03, "fp16", 18.0),
    (GRU, 2048, 4, 0.10, "fp16", 5.0),
)

# Points of the plots: everything but the varied number is that of an acceptance row or near one.
_DENSITY = (
    *((RNN, 2304, 4, d) for d in (0.01, 0.03, 0.10, 0.20, 0.30, 0.50)),
    *((LSTM, 1024, 4, d) for d in (0.01, 0.03, 0.10, 0.20, 0.30, 0.50)),
)
_SIZE = (
    *((RNN, h, 4, 0.10) for h in (512, 1152, 1792, 2304, 3072, 4096, 5760, 8192)),
    *((LSTM, h, 4, 0.10) for h in (512, 1024, 1536, 2304, 4096)),
)
_BATCH = (
    *((RNN, 2304, b, 0.10) for b in (1, 2, 4, 8, 16, 32)),
    *((LSTM, 1024, b, 0.10) for b in (1, 2, 4, 8, 16, 32)),
)
_LAYER = ((RNN, 2304, 4, 0.10), (LSTM, 1024, 4, 0.10), (LSTM, 2304, 4, 0.10), (GRU, 2048, 4, 0.10))
# FlashRNN's smallest batch, and sizes that its fused kernel takes; its GRU is not fused.
_FLASHRNN = (
    *((RNN, h, 8, 0.10) for h in (512, 768, 1024, 1152)),
    *((LSTM, h, 8, 0.10) for h in (512, 768, 1024, 1152)),
    *((GRU, h, 8, 0.10) for h in (512, 1024)),
)
_ABLATION = ((RNN, 2304, 4, 0.30), (RNN, 2304, 4, 0.10), (RNN, 1792, 4, 0.10), (RNN, 5760, 2, 0.01))

# The one place that knows the names of the compiler's decisions. A rung without a word on a decision
# leaves it to the compiler; the lower ones leave out what only tuning found. {narrow} is the number of
# batch columns in a load of 4 bytes.
_UNTUNED: Mapping[str, int | str] = {"fetch": "threads", "polls_in_flight": 1, "first_poll_cycles": 0}
_PLAIN = {"bank_order": "plain", "unit_order": "plain"}
_BANK_AWARE = {"bank_order": "coloured", "unit_order": "even"}
_LADDER: Mapping[Rung, Mapping[str, int | str]] = {
    Rung.NAIVE: {"exchange": "barrier", **_UNTUNED, **_PLAIN, "column_width": "{narrow}"},
    Rung.WIDE: {"exchange": "barrier", **_UNTUNED, **_PLAIN},
    Rung.BANK_AWARE: {"exchange": "barrier", **_UNTUNED, **_BANK_AWARE},
    Rung.LAMPORT: {"exchange": "lamport", **_UNTUNED, **_BANK_AWARE},
    Rung.TUNED: {},
}
_NARROW = {"fp16": 2, "bf16": 2, "fp32": 1}


def schedule_of(case: Case) -> dict[str, int | str]:
    """The overrides that ``sprnnc.compile`` gets for this case's rung."""
    rung = _LADDER[case.rung]
    return {n: _NARROW[case.dtype] if v == "{narrow}" else v for n, v in rung.items()}


def all_cases() -> list[Case]:
    """Every case once, the acceptance rows first, each with all its groups."""
    cases = [
        *(
            Case(k, h, b, d, dtype=t, required=r, groups=frozenset({Group.ACCEPTANCE}))
            for k, h, b, d, t, r in _ACCEPTANCE
        ),
        *(
            Case(*point, rung=rung, groups=frozenset({Group.ABLATION}))
            for point in _ABLATION
            for rung in Rung
        ),
        *(Case(*point, mode=Mode.LAYER, groups=frozenset({Group.LAYER})) for point in _LAYER),
        *(Case(*point, groups=frozenset({Group.SIZE})) for point in _SIZE),
        *(Case(*point, groups=frozenset({Group.DENSITY})) for point in _DENSITY),
        *(Case(*point, groups=frozenset({Group.BATCH})) for point in _BATCH),
        *(Case(*point, groups=frozenset({Group.FLASHRNN})) for point in _FLASHRNN),
    ]
    return _merged(cases)


def _merged(cases: Iterable[Case]) -> list[Case]:
    """Cases of one name become one, in the place of the first, for all their groups."""
    merged: dict[str, Case] = {}
    for case in cases:
        known = merged.get(case.name, case)
        merged[case.name] = replace(known, groups=known.groups | case.groups)
    return list(merged.values())
