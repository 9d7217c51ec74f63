"""What the names of a cell stand for while it is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from sprnnc.cell.ir import Space
from sprnnc.diagnostics import Span
from sprnnc.language.codes import Code
from sprnnc.language.report import Report

FUNCTION_NAMES = ("sigmoid", "tanh", "relu", "exp", "log", "abs", "softplus", "min", "max", "clamp")


class Kind(Enum):
    """What a name is; the value is what messages call it."""

    SIZE = "a size"
    INPUT = "an input"
    STATE = "a state"
    WEIGHT = "a weight matrix"
    PARAM = "a vector parameter"
    CONST = "a constant"
    LOCAL = "an equation's value"
    NEXT = "a next state"


PARAMETERS = (Kind.WEIGHT, Kind.PARAM)


@dataclass(frozen=True, slots=True)
class Symbol:
    """One name. ``space`` is None for scalars, and where an error has already been reported for it."""

    name: str
    kind: Kind
    span: Span
    space: Space | None = None
    cols: Space | None = None
    """Only a weight: it is ``[space, cols]``."""
    value: float = 0.0
    """Only a constant."""


@dataclass
class Scope:
    """The symbols known so far, which of them were read, and the equations still to come."""

    report: Report
    symbols: dict[str, Symbol] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    to_come: dict[str, Span] = field(default_factory=dict)

    def declare(self, symbol: Symbol) -> None:
        """Adds ``symbol``; a second declaration of a name is reported and ignored."""
        earlier = self.symbols.get(symbol.name)
        if symbol.name in FUNCTION_NAMES:
            self._duplicate(symbol, "a function of the language")
        elif earlier is not None:
            self._duplicate(symbol, f"{earlier.kind.value}, declared in line {earlier.span.line}")
        else:
            self.symbols[symbol.name] = symbol

    def _duplicate(self, symbol: Symbol, earlier: str) -> None:
        self.report.add(
            Code.DUPLICATE,
            f"the name '{symbol.name}' is taken",
            symbol.span,
            f"already {earlier}",
            "choose another name: every name of a cell stands for one thing",
        )

    def names(self, *kinds: Kind) -> list[str]:
        """Names of these kinds, in order of declaration."""
        return [s.name for s in self.symbols.values() if s.kind in kinds]

    def vectors(self, space: Space) -> list[str]:
        """Names of the vectors of ``space``, in order of declaration."""
        return [
            s.name
            for s in self.symbols.values()
            if s.space == space and s.kind not in (Kind.WEIGHT, Kind.SIZE)
        ]
