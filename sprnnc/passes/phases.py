"""Pass 3, Cell -> Recurrence: find the exchanges that one step needs.

Before: ``h' = P @ (o * tanh(c'))`` with ``o = sigmoid(U @ h)``
After:  phase 1 publishes ``h``,        products ``U_h = U @ h``,    then ``o`` and ``c'``;
        phase 2 publishes ``operand_P``, products ``P_operand_P``,   then ``h'``.

A product whose operand depends on no state leaves the loop. Any other product belongs to the phase
after the level at which its operand is known; operands known at the start of a step have level 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sprnnc.cell.ir import (
    Binary,
    Cell,
    Equation,
    Expr,
    MatVec,
    Number,
    Ref,
    Space,
    Unary,
    space_of,
    walk,
)
from sprnnc.diagnostics import InternalError
from sprnnc.passes.recurrence import (
    InputProduct,
    InputRows,
    LeveledEquation,
    Phase,
    Product,
    PublishedVector,
    Recurrence,
)

_INPUT_ONLY = -1  # "level" of what does not depend on any state


def split_into_phases(cell: Cell) -> Recurrence:
    """Lower ``cell``; pure. Raises InternalError if the cell breaks the checker's contract."""
    splitter = _Splitter(cell)
    for equation in cell.equations:
        splitter.add(equation)
    recurrence = splitter.finish()
    verify(recurrence)
    return recurrence


@dataclass
class _Splitter:
    """Walks the equations in order and collects what they need."""

    cell: Cell
    taken: set[str] = field(default_factory=set)  # names of the cell and names made here
    level_of: dict[str, int] = field(default_factory=dict)
    product_names: set[str] = field(default_factory=set)  # row totals: no lane owns them as a value
    input_equations: dict[str, Equation] = field(default_factory=dict)  # those that read no state
    equations: list[LeveledEquation] = field(default_factory=list)
    input_products: list[InputProduct] = field(default_factory=list)
    published: list[list[PublishedVector]] = field(default_factory=list)
    products: list[list[Product]] = field(default_factory=list)
    vector_of: dict[tuple[int, Expr], PublishedVector] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cell = self.cell
        self.taken |= {v.name for v in (*cell.inputs, *cell.states, *cell.params)}
        self.taken |= {w.name for w in cell.weights}
        self.taken |= {e.target for e in cell.equations}  # those still to come, too
        self.level_of |= {v.name: _INPUT_ONLY for v in (*self.cell.inputs, *self.cell.params)}
        self.level_of |= {v.name: 0 for v in self.cell.states}

    def add(self, equation: Equation) -> None:
        value = self._extract(equation.value)
        level = self._level(value)
        self.level_of[equation.target] = level
        if level == _INPUT_ONLY:
            self.input_equations[equation.target] = replace(equation, value=self._resolved(value))
        self.equations.append(LeveledEquation(max(level, 0), replace(equation, value=value)))

    def finish(self) -> Recurrence:
        phases = tuple(
            Phase(i + 1, tuple(vectors), tuple(products))
            for i, (vectors, products) in enumerate(zip(self.published, self.products, strict=True))
        )
        cell = self.cell
        equations = _live(cell, self.equations, phases)
        spaces: list[Space] = [v.space for v in cell.states]
        spaces += [e.equation.space for e in equations] + [cell.output_space]
        return Recurrence(
            cell,
            tuple(dict.fromkeys(spaces)),
            tuple(self.input_products),
            phases,
            equations,
            cell.output,
            cell.output_space,
        )

    def _level(self, value: Expr) -> int:
        names = [n.name for n in walk(value) if isinstance(n, Ref)]
        return max((self.level_of[n] for n in names), default=_INPUT_ONLY)

    def _extract(self, value: Expr) -> Expr:
        """``value`` with every matrix product replaced by a reference to a named product."""
        match value:
            case Number() | Ref():
                return value
            case Unary(a=a):
                return replace(value, a=self._extract(a))
            case Binary(a=a, b=b):
                return replace(value, a=self._extract(a), b=self._extract(b))
            case MatVec():
                operand = self._extract(value.operand)
                if self._level(operand) == _INPUT_ONLY:
                    return self._input_product(value, self._resolved(operand))
                return self._product(value, operand)

    def _input_product(self, node: MatVec, operand: Expr) -> Expr:
        index = next((i for i, p in enumerate(self.input_products) if p.operand == operand), None)
        if index is None:
            index = len(self.input_products)
            cols = self.cell.weight(node.weight).cols
            definitions = self._definitions(operand)
            self.input_products.append(InputProduct(f"inputs_{index + 1}", cols, definitions, operand, ()))
        stack = self.input_products[index]
        for part in stack.parts:
            if part.weight == node.weight:
                return Ref(part.name, part.rows)
        name = self._unused(f"{node.weight}_{_short_name(operand)}")
        part = InputRows(name, node.weight, node.rows, stack.row_count)
        self.input_products[index] = replace(stack, parts=(*stack.parts, part))
        self.level_of[name] = _INPUT_ONLY
        return Ref(name, node.rows)

    def _product(self, node: MatVec, operand: Expr) -> Expr:
        phase = self._level(operand)  # phase number - 1
        while len(self.published) <= phase:
            self.published.append([])
            self.products.append([])
        vector = self._publish(phase, node, operand)
        for p in self.products[phase]:
            if (p.weight, p.operand) == (node.weight, vector.name):
                return Ref(p.name, p.rows)
        name = self._unused(f"{node.weight}_{vector.name.removesuffix(_NEXT) or 'operand'}")
        self.product_names.add(name)
        self.products[phase].append(Product(name, node.weight, node.rows, vector.name))
        self.level_of[name] = phase + 1
        return Ref(name, node.rows)

    def _publish(self, phase: int, node: MatVec, operand: Expr) -> PublishedVector:
        key = (phase, operand)
        if key not in self.vector_of:
            space = self.cell.weight(node.weight).cols
            if isinstance(operand, Ref) and operand.name not in self.product_names:
                name = operand.name
            else:  # a name of its own, evaluated by its owners like any equation
                name = self._unused(f"{node.weight}_operand")
                self.level_of[name] = self._level(operand)
                self.equations.append(LeveledEquation(phase, Equation(name, space, operand, node.span)))
            self.vector_of[key] = PublishedVector(name, space)
            self.published[phase].append(self.vector_of[key])
        return self.vector_of[key]

    def _resolved(self, value: Expr) -> Expr:
        """``value``, or what it is another name of: ``e = x`` and ``x`` are one operand."""
        equation = self.input_equations.get(value.name) if isinstance(value, Ref) else None
        return equation.value if equation is not None and isinstance(equation.value, Ref) else value

    def _definitions(self, operand: Expr) -> tuple[Equation, ...]:
        """The equations that ``operand`` reads, directly or not, each once and in order."""
        needed: set[str] = set()
        values = [operand]
        while values:
            read = {n.name for n in walk(values.pop()) if isinstance(n, Ref)} - needed
            needed |= read
            values += [self.input_equations[name].value for name in read & self.input_equations.keys()]
        return tuple(e for name, e in self.input_equations.items() if name in needed)

    def _unused(self, wanted: str) -> str:
        name, n = wanted, 2
        while name in self.taken:
            name, n = f"{wanted}_{n}", n + 1
        self.taken.add(name)
        return name


def _live(
    cell: Cell, equations: list[LeveledEquation], phases: tuple[Phase, ...]
) -> tuple[LeveledEquation, ...]:
    """The equations that a state, the output or an exchange needs; one may serve input products only."""
    needed = {f"{s.name}'" for s in cell.states}
    needed |= {n.name for n in walk(cell.output) if isinstance(n, Ref)}
    needed |= {v.name for phase in phases for v in phase.published}
    kept = []
    for e in reversed(equations):
        if e.equation.target in needed:
            kept.append(e)
            needed |= {n.name for n in walk(e.equation.value) if isinstance(n, Ref)}
    return tuple(reversed(kept))


_NEXT = "'"


def _short_name(operand: Expr) -> str:
    return operand.name if isinstance(operand, Ref) else "inputs"


def verify(recurrence: Recurrence) -> None:
    """Contract of this stage: every name stands for one value; none is read before its level."""
    _refuse_duplicates(recurrence)
    level = {e.equation.target: e.level for e in recurrence.equations}
    level |= {p.name: phase.level for phase in recurrence.phases for p in phase.products}
    for e in recurrence.equations:
        for node in walk(e.equation.value):
            if isinstance(node, MatVec):
                raise InternalError("phases", f"{e.equation.target} still contains a matrix product")
            if isinstance(node, Ref) and level.get(node.name, 0) > e.level:
                raise InternalError("phases", f"{e.equation.target} reads {node.name} too early")
        if space_of(e.equation.value) not in (e.equation.space, None):
            raise InternalError("phases", f"{e.equation.target} changed its space")
    values = {v.name for v in recurrence.cell.states} | {e.equation.target for e in recurrence.equations}
    values |= {p.vector for p in recurrence.joined_products}
    for phase in recurrence.phases:
        if not phase.products:
            raise InternalError("phases", f"phase {phase.index} has no product")
        for v in phase.published:
            if v.name not in values:
                raise InternalError(
                    "phases", f"nobody computes {v.name}, which phase {phase.index} publishes"
                )


def _refuse_duplicates(recurrence: Recurrence) -> None:
    cell = recurrence.cell
    names = [v.name for v in (*cell.inputs, *cell.states, *cell.params)]
    names += [e.equation.target for e in recurrence.equations]
    names += [p.name for phase in recurrence.phases for p in phase.products]
    names += [part.name for product in recurrence.input_products for part in product.parts]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InternalError("phases", f"two values are called {name}")
        seen.add(name)


def print_recurrence(recurrence: Recurrence) -> str:
    """The recurrence as text, in the order of a step."""
    from sprnnc.cell.printer import print_expr

    lines = [f"recurrence {recurrence.cell.name}"]
    lines += [f"  space {s.name} = {s.size}" for s in recurrence.spaces]
    for p in recurrence.input_products:
        lines.append(f"  before the loop: {p.name}[{p.row_count}] = stacked @ {print_expr(p.operand)}")
        lines += [f"    {e.target} = {print_expr(e.value)}" for e in p.definitions]
        lines += [f"    {q.name}[{q.rows.name}] = rows {q.first_row} on, {q.weight}" for q in p.parts]
    for joined in recurrence.joined_products:
        lines.append(f"  in the loop: {joined.vector}[{joined.cols.name}] = {print_expr(joined.operand)}")
        lines += [f"    {e.target} = {print_expr(e.value)}" for e in joined.definitions]
    if recurrence.joined:
        lines.append("  while a block waits for phase 1:")
        lines += [
            f"    {p.name}[{p.rows.name}] = {p.weight} @ {p.operand}" for p in recurrence.joined.products
        ]
    for phase in (None, *recurrence.exchanges):
        if phase is not None:
            vectors = ", ".join(f"{v.name}[{v.space.name}]" for v in phase.published)
            lines.append(f"  phase {phase.index}: publish {vectors}")
            lines += [f"    {p.name}[{p.rows.name}] = {p.weight} @ {p.operand}" for p in phase.products]
        level = phase.index if phase else 0
        for e in recurrence.equations:
            if e.level == level:
                lines.append(f"    {e.equation.target} = {print_expr(e.equation.value)}")
    lines.append(f"  output {print_expr(recurrence.output)}")
    return "\n".join(lines) + "\n"
