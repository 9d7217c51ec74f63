"""Makes the rows of the results from what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import Case, schedule_of
from benchmarks.peers.outcome import Measured, Peer, Precision
from benchmarks.results_file import Row

REFUSED = "refused: "
# What fp32 arithmetic stays below, and what TF32 does not.
FP32_ERROR = 1e-5


@dataclass(frozen=True, slots=True)
class Setting:
    """What all rows of a run share."""

    gpu: str
    commit: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PeerResult:
    """A peer's times and error against float64, or the reason why there are none."""

    name: str
    times_us: tuple[float, ...] = ()
    error: float | None = None
    refusal: str = ""

    @property
    def median_us(self) -> float | None:
        return statistics.median(self.times_us) if self.times_us else None


def judge(peer: Peer, measured: Measured, error: float, dtype: str) -> PeerResult:
    """A peer does not compete if its outputs are not the cell's, or in an fp32 row not as exact as fp32."""
    if not error <= peer.precision.tolerance:
        return PeerResult(peer.name, refusal=f"its outputs differ: relative error {error:.3g}")
    if dtype == "fp32" and peer.precision is Precision.TF32 and error > FP32_ERROR:
        return PeerResult(peer.name, refusal=f"is not fp32 arithmetic: relative error {error:.3g}")
    return PeerResult(peer.name, measured.times_us, error)


def make_row(
    case: Case,
    setting: Setting,
    plan: Mapping[str, Any],
    times_us: Sequence[float],
    error: float | None,
    peers: Sequence[PeerResult],
    *,
    floor_us: float | None = None,
    refusal: str = "",
    complete: bool = True,
) -> Row:
    """``times_us`` is empty where ours was not measured, and ``refusal`` says why.

    ``complete``: every peer that was to be measured was. Times in microseconds a step.
    """
    ours = statistics.median(times_us) if times_us else None
    best = min((p for p in peers if p.times_us), key=lambda p: statistics.median(p.times_us), default=None)
    best_us = best.median_us if best else None
    return {
        "name": case.name,
        "cell": case.kind.value,
        "mode": case.mode.value,
        "H": case.hidden,
        "B": case.batch,
        "T": case.steps,
        "density": case.density,
        "dtype": case.dtype,
        "rung": case.rung.value,
        "groups": sorted(g.value for g in case.groups),
        "us_per_step": _rounded(ours),
        "us_low": _rounded(min(times_us, default=None)),
        "us_high": _rounded(max(times_us, default=None)),
        "refusal": refusal,
        "peers": {p.name: _rounded(p.median_us) or REFUSED + p.refusal for p in peers},
        "peer_ranges": {p.name: _range(p.times_us) for p in peers if p.times_us},
        "peer_errors": {p.name: _significant(p.error) for p in peers if p.error is not None},
        "best_peer": best.name if best else None,
        "ratio": _rounded(best_us / ours) if best_us and ours else None,
        "required": case.required,
        "rel_error": _significant(error),
        "floor_us": _rounded(floor_us),
        "nonzeros": case.total_nonzeros,
        "schedule": schedule_of(case),
        "plan": dict(plan),
        "commit": setting.commit,
        "gpu": setting.gpu,
        "versions": dict(setting.versions),
        "complete": complete,
    }


def _rounded(value: float | None) -> float | None:
    """To a nanosecond: far below what repeats."""
    return None if value is None else round(value, 3)


def _range(times_us: Sequence[float]) -> list[float | None]:
    return [_rounded(min(times_us)), _rounded(max(times_us))]


def _significant(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
