"""Several layers -> one Cell: what a stack of layers does in a step, for one kernel.

In turn: a layer reads what the one before it gives in the same step, after an exchange of its own.
Wavefront: every layer is a step of time behind those that it reads, so that all of them wait for the
same exchange: a stack of L layers takes T + L - 1 steps, not L * T. It is the systolic order of
Appleyard et al. (2016), arXiv:1604.01946, section 3.3.

Before: ``b`` on ``a``:   h_a' = tanh(U_a @ h_a + W_a @ x),  h_b' = tanh(U_b @ h_b + W_b @ h_a')
After:  the wavefront of them, ``b`` one step late:            h_b' = tanh(U_b @ h_b + W_b @ h_a)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sprnnc.cell.ir import (
    Binary,
    BinaryOp,
    Cell,
    Equation,
    Expr,
    MatVec,
    Ref,
    Space,
    Unary,
    Vector,
    Weight,
    walk,
)
from sprnnc.cell.network import Concat, Joined, NetworkLayer, Stream, Sum, print_joined, size_of, streams_of
from sprnnc.passes.fuse_operands import outside_first, parts_of_product
from sprnnc.sparsity.patterns import AsStored

_NEXT = "'"


class CannotFuse(Exception):
    """Why these layers cannot be one kernel, for a plan's reason."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a tensor of a fused cell comes from: ``layer.tensor``, of a matrix some of its columns.

    ``size`` 0: all of it.
    """

    tensor: str
    first: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Fused:
    """Layers as one cell.

    ``tensors``: where each of its tensors comes from, by name. ``states``: each of its states but those that
    only remember, and the network's name of it, ``layer.state``. ``sources``: what each of its inputs is.
    """

    cell: Cell
    tensors: dict[str, Columns]
    states: tuple[tuple[str, str], ...]
    sources: tuple[Joined, ...]


def fuse(layers: Sequence[NetworkLayer], output: Joined, name: str, *, wavefront: bool) -> Fused:
    """The cell that runs ``layers`` and gives ``output``; what they read beside each other are its inputs.

    Raises CannotFuse with the reason.
    """
    fuser = _Fuser({layer.name for layer in layers}, wavefront)
    for layer in layers:
        fuser.add(layer)
    return fuser.finish(output, name)


@dataclass(frozen=True, slots=True)
class _Given:
    """What a layer gives: ``now`` in the step that computes it, which is ``lag`` steps late."""

    now: Ref
    lag: int


@dataclass
class _Fuser:
    inside: set[str]
    wavefront: bool
    taken: set[str] = field(default_factory=set)
    spaces: dict[int, Space] = field(default_factory=dict)  # by size: what is as long may be combined
    inputs: dict[Joined, Vector] = field(default_factory=dict)
    states: list[tuple[Vector, str, int]] = field(default_factory=list)  # name in the network or none, lag
    weights: list[Weight] = field(default_factory=list)
    params: list[Vector] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    tensors: dict[str, Columns] = field(default_factory=dict)
    given: dict[str, _Given] = field(default_factory=dict)
    remembered: dict[tuple[Expr, int], Ref] = field(default_factory=dict)

    def add(self, layer: NetworkLayer) -> None:
        if layer.reverse:
            raise CannotFuse(f"{layer.name} begins at the end")
        if len(layer.cell.inputs) != 1:
            raise CannotFuse(f"{layer.name} has {len(layer.cell.inputs)} inputs")
        reads = [self.given[s.name].lag for s in streams_of(layer.operand) if s.name in self.inside]
        lag = max(reads, default=-1) + 1 if self.wavefront else 0
        _Layer(self, layer, lag).add()

    def finish(self, output: Joined, name: str) -> Fused:
        lag = max(self.given[s.name].lag for s in streams_of(output) if s.name in self.inside)
        value = self.sum_of(output, lag, now=True)
        if value is None:
            raise CannotFuse(f"it gives {print_joined(output)}, which lies in several places")
        vectors = tuple(v for v, _, _ in self.states)
        lags = tuple(late for _, _, late in self.states)
        cell = Cell(
            name=name,
            inputs=tuple(self.inputs.values()),
            states=vectors,
            weights=tuple(self.weights),
            params=tuple(self.params),
            equations=tuple(self.equations),
            output=value,
            output_space=self.space(size_of(output)),
            lags=lags if self.wavefront else (),
            output_lag=lag,
            remembered=tuple(v.name for v, name, _ in self.states if not name),
        )
        states = tuple((v.name, name) for v, name, _ in self.states if name)
        return Fused(cell, self.tensors, states, tuple(self.inputs))

    # ---- names and spaces

    def unused(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self.taken:
            name, number = f"{wanted}_{number}", number + 1
        self.taken.add(name)
        return name

    def space(self, size: int, wanted: str = "N") -> Space:
        """Vectors of one size share a space: the units of a number lie in one lane, whatever their layer."""
        if size not in self.spaces:
            names = {s.name for s in self.spaces.values()}
            self.spaces[size] = Space(wanted if wanted not in names else f"{wanted}{size}", size)
        return self.spaces[size]

    # ---- values of streams

    def sum_of(self, joined: Joined, lag: int, *, now: bool = False) -> Expr | None:
        """``joined`` as a layer ``lag`` steps late reads it; None where vectors stand beside each other.

        ``now``: what is computed in this very step can be read.
        """
        if not any(s.name in self.inside for s in streams_of(joined)):
            return self.late(self.input(joined), lag)
        match joined:
            case Stream(name=name):
                given = self.given[name]
                return given.now if given.lag == lag and now else self.late(given.now, lag - given.lag)
            case Sum(terms=terms):
                total: Expr | None = None
                for term in outside_first(terms, self.inside):
                    value = self.sum_of(term, lag, now=now)
                    if value is None:
                        return None
                    total = value if total is None else Binary(BinaryOp.ADD, total, value)
                return total
            case Concat():
                return None

    def input(self, joined: Joined) -> Ref:
        if joined not in self.inputs:
            name = self.unused(joined.name if isinstance(joined, Stream) else "x")
            self.inputs[joined] = Vector(name, self.space(size_of(joined)))
        vector = self.inputs[joined]
        return Ref(vector.name, vector.space)

    def late(self, value: Expr, steps: int) -> Expr:
        """What ``value`` was ``steps`` steps ago: a state that the cell has anyway, or one that remembers."""
        if steps == 0:
            return value
        if (value, steps) not in self.remembered:
            before = self.late(value, steps - 1)
            space = next(n.space for n in walk(value) if isinstance(n, Ref))
            if isinstance(value, MatVec):
                space = value.rows
            self.remembered[value, steps] = self._remember(before, space, self._lag_of(value) + steps - 1)
        return self.remembered[value, steps]

    def _lag_of(self, value: Expr) -> int:
        return next((g.lag for g in self.given.values() if g.now == value), 0)

    def _remember(self, value: Expr, space: Space, lag: int) -> Ref:
        if isinstance(value, Ref) and value.name.endswith(_NEXT):
            return Ref(value.name.removesuffix(_NEXT), space)  # the state before it advances
        stem = value.name if isinstance(value, Ref) else value.weight if isinstance(value, MatVec) else "sum"
        name = self.unused(f"{stem}_late")
        self.states.append((Vector(name, space), "", lag))
        self.equations.append(Equation(f"{name}{_NEXT}", space, value))
        return Ref(name, space)


@dataclass
class _Layer:
    """Adds one layer to a fused cell, under names of its own."""

    fuser: _Fuser
    layer: NetworkLayer
    lag: int
    names: dict[str, str] = field(default_factory=dict)
    spaces: dict[str, Space] = field(default_factory=dict)

    def add(self) -> None:
        cell, fuser = self.layer.cell, self.fuser
        for s in cell.states:
            vector = Vector(self._name(s.name), self._space(s.space))
            fuser.states.append((vector, f"{self.layer.name}.{s.name}", self.lag))
        for p in cell.params:
            name = self._name(p.name)
            fuser.params.append(Vector(name, self._space(p.space)))
            fuser.tensors[name] = Columns(f"{self.layer.weights}.{p.name}")
        for w in cell.weights:
            self._name(w.name)
        for e in cell.equations:
            value = self._value(e.value)
            target = self._target(e.target)
            fuser.equations.append(Equation(target, self._space(e.space), value, e.span))
        fuser.given[self.layer.name] = _Given(self._given(cell), self.lag)

    def _given(self, cell: Cell) -> Ref:
        value = self._value(cell.output)
        if isinstance(value, Ref):
            return value
        space = self._space(cell.output_space)
        name = self.fuser.unused(f"{self.layer.name}_given")
        self.fuser.equations.append(Equation(name, space, value))
        return Ref(name, space)

    def _name(self, name: str) -> str:
        if name not in self.names:
            self.names[name] = self.fuser.unused(f"{self.layer.name}_{name}")
        return self.names[name]

    def _target(self, target: str) -> str:
        if target.endswith(_NEXT):
            return self._name(target.removesuffix(_NEXT)) + _NEXT
        return self._name(target)

    def _space(self, space: Space) -> Space:
        return self.fuser.space(space.size, space.name)

    def _value(self, value: Expr) -> Expr:
        """``value`` in the names and spaces of the fused cell."""
        source = self.layer.cell.inputs[0].name
        match value:
            case MatVec(operand=Ref(name=name)) if name == source:
                return self._product_of_input(value)
            case MatVec(weight=weight, rows=rows, operand=operand):
                whole = self._weight(weight, 0, 0)
                return replace(value, weight=whole.name, rows=self._space(rows), operand=self._value(operand))
            case Unary(a=a):
                return replace(value, a=self._value(a))
            case Binary(a=a, b=b):
                return replace(value, a=self._value(a), b=self._value(b))
            case Ref(name=name) if name == source:
                read = self.fuser.sum_of(self.layer.operand, self.lag, now=not self.fuser.wavefront)
                if read is None:
                    raise CannotFuse(
                        f"{self.layer.name} reads parts of {print_joined(self.layer.operand)} alike"
                    )
                return read
            case Ref(name=name, space=space):
                return replace(value, name=self._target(name), space=self._space(space))
            case _:
                return value

    def _product_of_input(self, product: MatVec) -> Expr:
        """Of vectors beside each other, and of what lies outside, each part is a product of its own."""
        total: Expr | None = None
        for joined, first in parts_of_product(self.layer.operand, 0, self.fuser.inside):
            size = size_of(joined)
            whole = size == size_of(self.layer.operand)
            weight = self._weight(product.weight, first, 0 if whole else size)
            rows = self._space(product.rows)
            if any(s.name in self.fuser.inside for s in streams_of(joined)):
                operand = self.fuser.sum_of(joined, self.lag, now=not self.fuser.wavefront)
                assert operand is not None
                part: Expr = MatVec(weight.name, rows, operand, product.span)
            else:
                part = self.fuser.late(
                    MatVec(weight.name, rows, self.fuser.input(joined), product.span), self.lag
                )
            total = part if total is None else Binary(BinaryOp.ADD, total, part)
        assert total is not None
        return total

    def _weight(self, name: str, first: int, size: int) -> Weight:
        """The matrix, or ``size`` of its columns."""
        own = self.layer.cell.weight(name)
        wanted = self._name(name if not size else f"{name}_{first}")
        found = next((w for w in self.fuser.weights if w.name == wanted), None)
        if found is None:
            cols = self.fuser.space(size) if size else self._space(own.cols)
            pattern = AsStored() if size else own.pattern
            found = Weight(wanted, self._space(own.rows), cols, pattern, own.span)
            self.fuser.weights.append(found)
            self.fuser.tensors[wanted] = Columns(f"{self.layer.weights}.{name}", first, size)
        return found
