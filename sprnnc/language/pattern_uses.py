"""From ``name(arguments) + addition`` to a Pattern object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sprnnc.language.codes import Code
from sprnnc.language.report import Report, listed, near_match
from sprnnc.language.syntax import Literal, PatternUse
from sprnnc.sparsity.patterns import (
    AsStored,
    Balanced,
    BlockDiagonal,
    Blocks,
    Dense,
    NOfM,
    Pattern,
    Unstructured,
    WithDiagonal,
)

_DENSITY = "density"  # a number from 0 to 1; every other parameter is a whole number from 1


@dataclass(frozen=True, slots=True)
class _Form:
    """How a pattern is written: its parameters, and what makes it from them."""

    parameters: tuple[str, ...]
    build: Callable[..., Pattern]

    def usage(self, name: str) -> str:
        return f"{name}({', '.join(self.parameters)})" if self.parameters else name


_FORMS = {
    "dense": _Form((), Dense),
    "sparse": _Form((_DENSITY,), Unstructured),
    "blocks": _Form(("rows", "columns", _DENSITY), Blocks),
    "block_diagonal": _Form(("heads",), BlockDiagonal),
    "n_of_m": _Form(("n", "m"), NOfM),
    "balanced": _Form((_DENSITY, "banks"), Balanced),
    "as_stored": _Form((), AsStored),
}


def resolve_pattern(use: PatternUse | None, report: Report) -> Pattern | None:
    """The pattern that ``use`` names (dense if nothing is written); None after an error in ``report``."""
    if use is None:
        return Dense()
    base = _base(use, report)
    if use.addition is None:
        return base
    if use.addition.text != "diagonal":
        report.add(
            Code.BAD_PATTERN,
            f"'{use.addition.text}' cannot be added to a pattern",
            use.addition.span,
            help=near_match(use.addition.text, ["diagonal"], "only the diagonal can: '+ diagonal'"),
        )
        return None
    return WithDiagonal(base) if base is not None else None


def _base(use: PatternUse, report: Report) -> Pattern | None:
    form = _FORMS.get(use.name.text)
    if form is None:
        known = f"patterns are {listed(f.usage(n) for n, f in _FORMS.items())}"
        report.add(
            Code.BAD_PATTERN,
            f"unknown sparsity pattern '{use.name.text}'",
            use.name.span,
            help=near_match(use.name.text, _FORMS, known),
        )
        return None
    if len(use.arguments) != len(form.parameters):
        report.add(
            Code.BAD_PATTERN,
            f"'{use.name.text}' takes {_counted(form.parameters)}, got {len(use.arguments)}",
            use.span,
            help=f"write {form.usage(use.name.text)}",
        )
        return None
    pairs = list(zip(form.parameters, use.arguments, strict=True))
    in_range = [_in_range(name, argument, report) for name, argument in pairs]  # reports every bad one
    if not all(in_range):
        return None
    return form.build(*(float(a.value) if n == _DENSITY else a.value for n, a in pairs))


def _counted(parameters: Sequence[str]) -> str:
    return "1 number" if len(parameters) == 1 else f"{len(parameters)} numbers"


def _in_range(parameter: str, argument: Literal, report: Report) -> bool:
    value = argument.value
    if parameter == _DENSITY:
        wanted, good = "a number from 0 to 1", 0 <= value <= 1
    else:
        wanted, good = "a whole number from 1", isinstance(value, int) and value >= 1
    if not good:
        looks_like_percent = parameter == _DENSITY and 1 < value <= 100
        percent = f"; {value} percent is {value / 100:g}" if looks_like_percent else ""
        report.add(
            Code.PATTERN_RANGE,
            f"{parameter} {value} is out of range",
            argument.span,
            f"expected {wanted}",
            f"the {parameter} is {wanted}{percent}",
        )
    return good
