"""Checks one cell: declarations, equations, next states, output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sprnnc.cell import ir
from sprnnc.diagnostics import Span
from sprnnc.language import syntax as s
from sprnnc.language.codes import Code
from sprnnc.language.expressions import ExpressionChecker, finite_float32
from sprnnc.language.pattern_uses import resolve_pattern
from sprnnc.language.report import Report, near_match
from sprnnc.language.scope import PARAMETERS, Kind, Scope, Symbol

_UNKNOWN_SIZE = 1
_KIND_OF = {s.VectorKind.INPUT: Kind.INPUT, s.VectorKind.STATE: Kind.STATE, s.VectorKind.BIAS: Kind.PARAM}


def check_cell(decl: s.CellDecl, sizes: Mapping[str, int] | None, report: Report) -> ir.Cell | None:
    """The IR of ``decl`` with these sizes; None if anything went into ``report``.

    With ``sizes`` None (a cell that no layer uses) everything but the patterns' shapes is checked.
    """
    return _CellChecker(decl, sizes, report, Scope(report)).run()


@dataclass
class _CellChecker:
    decl: s.CellDecl
    sizes: Mapping[str, int] | None
    report: Report
    scope: Scope
    weights: list[ir.Weight] = field(default_factory=list)
    equations: list[ir.Equation] = field(default_factory=list)

    def run(self) -> ir.Cell | None:
        errors_before = len(self.report.diagnostics)
        self._declare()
        equations = [i for i in self.decl.statements if isinstance(i, s.Equation)]
        for equation in reversed(equations):
            self.scope.to_come[equation.target.text] = equation.target.span
        for equation in equations:
            self._equation(equation)
        output = self._output()
        self._require_inputs()
        self._require_next_states()
        self._require_uses()
        if output is None or len(self.report.diagnostics) > errors_before:
            return None
        return self._cell(output)

    def _cell(self, output: tuple[ir.Expr, ir.Space]) -> ir.Cell:
        return ir.Cell(
            self.decl.name.text,
            inputs=self._vectors(Kind.INPUT),
            states=self._vectors(Kind.STATE),
            weights=tuple(self.weights),
            params=self._vectors(Kind.PARAM),
            equations=tuple(self.equations),
            output=output[0],
            output_space=output[1],
        )

    def _vectors(self, kind: Kind) -> tuple[ir.Vector, ...]:
        symbols = [i for i in self.scope.symbols.values() if i.kind is kind]
        return tuple(ir.Vector(i.name, i.space, i.span) for i in symbols if i.space is not None)

    # ---- declarations

    def _declare(self) -> None:
        for size in self.decl.sizes:
            self.scope.declare(Symbol(size.text, Kind.SIZE, size.span, self._space_named(size.text)))
        for statement in self.decl.statements:
            match statement:
                case s.VectorDecl():
                    self._vector(statement)
                case s.WeightDecl():
                    self._weight(statement)
                case s.ConstDecl():
                    value = finite_float32(statement.value, self.report)
                    name = statement.name
                    self.scope.declare(Symbol(name.text, Kind.CONST, name.span, value=value or 0.0))
                case s.Equation() | s.OutputDecl():
                    pass

    def _space_named(self, name: str) -> ir.Space:
        return ir.Space(name, _UNKNOWN_SIZE if self.sizes is None else self.sizes.get(name, _UNKNOWN_SIZE))

    def _space(self, size: s.Name) -> ir.Space | None:
        symbol = self.scope.symbols.get(size.text)
        if symbol is not None and symbol.kind is Kind.SIZE:
            return symbol.space
        known = self.scope.names(Kind.SIZE)
        header = f"cell {self.decl.name.text}({', '.join([*known, size.text])})"
        self.report.add(
            Code.SIZES_UNKNOWN,
            f"unknown size '{size.text}'",
            size.span,
            help=near_match(size.text, known, f"add it to the cell's sizes: {header}"),
        )
        return None

    def _vector(self, decl: s.VectorDecl) -> None:
        space = self._space(decl.size)
        self.scope.declare(Symbol(decl.name.text, _KIND_OF[decl.kind], decl.name.span, space))

    def _weight(self, decl: s.WeightDecl) -> None:
        name = decl.name
        rows = self._space(decl.rows)
        if decl.cols is None:
            self._refuse_pattern(decl)
            self.scope.declare(Symbol(name.text, Kind.PARAM, name.span, rows))
            return
        cols = self._space(decl.cols)
        self.scope.declare(Symbol(name.text, Kind.WEIGHT, name.span, rows, cols))
        pattern = resolve_pattern(decl.pattern, self.report)
        if rows is None or cols is None or pattern is None:
            return
        problem = pattern.shape_error(rows.size, cols.size) if self.sizes is not None else None
        if problem is not None:
            self.report.add(
                Code.PATTERN_SHAPE,
                f"no matrix {name.text}[{rows.name}={rows.size}, {cols.name}={cols.size}]"
                f" can be {pattern.describe()}",
                decl.pattern.span if decl.pattern is not None else decl.span,
                problem,
                "choose sizes or pattern numbers that fit",
            )
        self.weights.append(ir.Weight(name.text, rows, cols, pattern, decl.span))

    def _refuse_pattern(self, decl: s.WeightDecl) -> None:
        if decl.pattern is not None:
            self.report.add(
                Code.BAD_PATTERN,
                f"the vector '{decl.name.text}' cannot have a sparsity pattern",
                decl.span,
                "one size: a vector",
                "declare it in a 'weight' statement of its own, without a pattern",
            )

    # ---- equations

    def _equation(self, equation: s.Equation) -> None:
        target = equation.target
        value = ExpressionChecker(self.scope, self.report).check(equation.value)
        space = self._vector_space(value, f"'{target.text}'", equation.value.span)
        is_next = target.text.endswith("'")
        if not (self._is_state(target) if is_next else self._is_free(target)):
            return
        kind = Kind.NEXT if is_next else Kind.LOCAL
        if is_next:
            space = self._next_space(equation, space)
        self.scope.declare(Symbol(target.text, kind, target.span, space))
        if value is not None and space is not None:
            self.equations.append(ir.Equation(target.text, space, value, equation.span))

    def _vector_space(self, value: ir.Expr | None, what: str, span: Span) -> ir.Space | None:
        """The space of ``value``; None if there is none, reported where that is its first error."""
        if value is None:
            return None
        space = ir.space_of(value)
        if space is None:
            self.report.add(
                Code.NOT_A_VECTOR,
                f"the value of {what} is a number",
                span,
                "expected a vector",
                "declare numbers by 'const'; a vector can be made from a state: 0 * h + 1",
            )
        return space

    def _is_state(self, target: s.Name) -> bool:
        base = target.text[:-1]
        symbol = self.scope.symbols.get(base)
        if symbol is not None and symbol.kind is Kind.STATE:
            return True
        got = f"{base} is {symbol.kind.value}" if symbol is not None else f"{base} is not declared"
        self.report.add(
            Code.NOT_ASSIGNABLE,
            f"'{target.text}' is not the next value of a state",
            target.span,
            got,
            near_match(
                base, self.scope.names(Kind.STATE), f"declare it: state {base}[...], or leave the prime out"
            ),
        )
        return False

    def _is_free(self, target: s.Name) -> bool:
        symbol = self.scope.symbols.get(target.text)
        if symbol is None or symbol.kind is Kind.LOCAL:
            return True  # a second equation of one name is a duplicate, which the scope reports
        is_state = symbol.kind is Kind.STATE
        self.report.add(
            Code.NOT_ASSIGNABLE,
            f"'{target.text}' cannot be assigned",
            target.span,
            f"{target.text} is {symbol.kind.value}",
            f"write {target.text}' = ... for the state's next value" if is_state else "choose another name",
        )
        return False

    def _next_space(self, equation: s.Equation, got: ir.Space | None) -> ir.Space | None:
        """The state's space; reports a value that lives in another one."""
        state = self.scope.symbols[equation.target.text[:-1]]
        if got is not None and state.space is not None and got != state.space:
            self.report.add(
                Code.SPACES_DIFFER,
                f"the next value of '{state.name}' has another size than '{state.name}'",
                equation.value.span,
                f"expected [{state.space.name}], got [{got.name}]",
                f"a weight [{state.space.name}, {got.name}] goes from [{got.name}] to [{state.space.name}]",
            )
        return state.space

    # ---- output and what must be there

    def _output(self) -> tuple[ir.Expr, ir.Space] | None:
        """The output is read after all equations, wherever it stands."""
        outputs = [i for i in self.decl.statements if isinstance(i, s.OutputDecl)]
        if not outputs:
            states = self.scope.names(Kind.STATE) or ["h"]
            self.report.add(
                Code.BAD_OUTPUT,
                f"cell '{self.decl.name.text}' has no output",
                self.decl.name.span,
                help=f"add a line: output {states[0]}'",
            )
            return None
        for extra in outputs[1:]:
            self.report.add(
                Code.BAD_OUTPUT, "a second output", extra.span, help="a cell has one output vector for now"
            )
        return self._output_value(outputs[0])

    def _output_value(self, output: s.OutputDecl) -> tuple[ir.Expr, ir.Space] | None:
        value = ExpressionChecker(self.scope, self.report).check(output.value)
        space = self._vector_space(value, "the output", output.value.span)
        if value is None or space is None:
            return None
        product = next((n for n in ir.walk(value) if isinstance(n, ir.MatVec)), None)
        if product is not None:
            self.report.add(
                Code.BAD_OUTPUT,
                "the output contains a matrix product",
                product.span,
                help="name it by an equation, y = ..., and write: output y",
            )
        return value, space

    def _require_inputs(self) -> None:
        """A cell without states is a layer too: its steps do not know of each other."""
        if not self.scope.names(Kind.INPUT):
            self.report.add(
                Code.INCOMPLETE_CELL,
                f"cell '{self.decl.name.text}' has no input",
                self.decl.name.span,
                help="declare one: input x[I]",
            )

    def _require_next_states(self) -> None:
        for name in self.scope.names(Kind.STATE):
            if f"{name}'" not in self.scope.to_come:
                self.report.add(
                    Code.NO_NEXT_STATE,
                    f"state '{name}' has no next value",
                    self.scope.symbols[name].span,
                    help=f"add an equation: {name}' = ...",
                )

    def _require_uses(self) -> None:
        for name in self.scope.names(Kind.INPUT, *PARAMETERS):
            if name not in self.scope.used:
                self.report.add(
                    Code.UNUSED,
                    f"'{name}' is never used",
                    self.scope.symbols[name].span,
                    "missing use",
                    "use it in an equation, or remove its declaration",
                )
