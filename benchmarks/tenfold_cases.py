"""The models of the claim "ten times the parameters in half the time"."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.cases import LSTM, RNN, Case
from benchmarks.cells import CellKind
from benchmarks.persistent import Limit

GROUP = "tenfold"
KINDS = (RNN, LSTM)
BATCH = 4
TIMES_THE_PARAMETERS, TIMES_AS_FAST = 10, 2.0
DENSITIES = (0.10, 0.05, 0.03)
_MULTIPLE = 128  # of the pruned models' sizes


def pruned_size(dense: int) -> int:
    """The hidden size of a model with at least ten times the parameters of the dense one."""
    least = math.isqrt(TIMES_THE_PARAMETERS * dense * dense - 1) + 1
    return -(-least // _MULTIPLE) * _MULTIPLE


def dense_case(kind: CellKind, limits: Sequence[Limit]) -> Case | None:
    """The largest model that cuDNN runs persistently; None where it runs none."""
    hidden = max((limit.hidden for limit in limits if limit.cell == kind.name), default=0)
    return Case(kind, hidden, BATCH, 1.0) if hidden else None


def pruned_cases(dense: Case, densities: Sequence[float]) -> list[Case]:
    size = pruned_size(dense.hidden)
    return [Case(dense.kind, size, BATCH, d, required=TIMES_AS_FAST) for d in densities]
