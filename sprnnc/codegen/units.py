"""What a lane keeps of each unit, and how equations read it: a struct of registers ``u``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sprnnc.cell.ir import Expr, Ref, walk
from sprnnc.codegen.expressions import offset
from sprnnc.codegen.model import Field, Load, SpaceModel
from sprnnc.codegen.names import Names
from sprnnc.passes.recurrence import InputProduct, InputRows, Recurrence
from sprnnc.schedule.plan import Plan


class UnitFields:
    """Decides for every name of the recurrence whether it is a member of ``u`` or a local."""

    def __init__(self, recurrence: Recurrence, plan: Plan, names: Names) -> None:
        self.recurrence = recurrence
        self.plan = plan
        self.names = names
        self._products = {p.name for phase in recurrence.phases for p in phase.products}
        self._kept = self._kept_equations()
        self._members = self._kept | {q.name for p in recurrence.input_products for q in p.parts}
        cell = recurrence.cell
        self._members |= {v.name for v in (*cell.inputs, *cell.params, *cell.states)}

    def _kept_equations(self) -> set[str]:
        """Equation targets that are read after the loop that computes them."""
        r = self.recurrence
        level = {e.equation.target: e.level for e in r.equations}
        reads: list[tuple[Expr, int]] = [(e.equation.value, e.level) for e in r.equations]
        after = len(r.exchanges) + 1
        reads.append((r.output, after))
        reads += [(Ref(f"{s.name}'", s.space), after) for s in r.cell.states]
        reads += [(Ref(v.name, v.space), after) for phase in r.exchanges for v in phase.published]
        kept = set()
        for value, at in reads:
            for node in walk(value):
                if isinstance(node, Ref) and level.get(node.name, at) < at:
                    kept.add(node.name)
        return kept

    def reader(self, space: str) -> Callable[[str], str]:
        """How an equation of ``space`` spells each name it reads."""
        del space  # every space's loop calls its thread's units ``u``
        return lambda name: f"u.{self.names(name)}" if name in self._members else self.names(name)

    def target(self, name: str) -> str:
        """The left side of an equation: a member, or a new local."""
        return f"u.{self.names(name)}" if name in self._members else f"const float {self.names(name)}"

    def total_locals(self, level: int, values: Sequence[Expr]) -> list[str]:
        """Declarations of the row totals that ``values`` read."""
        del level
        read = dict.fromkeys(n.name for v in values for n in walk(v) if isinstance(n, Ref))
        lines = []
        for name in read:
            if name in self._products:
                c = self.names(name)
                lines.append(f"const float {c} = totals_{c}[item];")
        return lines

    def space_model(self, space_name: str) -> SpaceModel:
        """The struct of one space and where its members come from."""
        r, names = self.recurrence, self.names
        space = next(s for s in r.spaces if s.name == space_name)
        plan = self.plan.space(space_name)
        params = [v for v in r.cell.params if v.space == space and self._is_read_in(v.name)]
        states = [v for v in r.cell.states if v.space == space]
        fetched = [
            (p, q) for p in r.input_products for q in p.parts if q.rows == space and self._is_read_in(q.name)
        ]
        inputs = [v for v in r.cell.inputs if v.space == space and self._is_read_in(v.name)]
        kept = [
            e.equation.target
            for e in r.equations
            if e.equation.target in self._kept and e.equation.space == space
        ]
        fields = [
            Field(
                "int",
                ("unit", "batch_column", "position"),
                "which unit (-1: none) and column, and its place in an exchange",
            ),
            Field("bool", ("owned",), "false for padding: computed, never stored"),
            Field("float", tuple(names(v.name) for v in params), "parameters"),
            Field("float", tuple(names(v.name) for v in states), "states"),
            Field(
                "float",
                (*(names(q.name) for _, q in fetched), *(names(v.name) for v in inputs)),
                "inputs of this step",
            ),
            Field("float", tuple(names(n) for n in kept), "values that outlive the loop that computes them"),
            Field("float", ("result",) if space == r.output_space else (), "the output of the last step"),
        ]
        return SpaceModel(
            name=space_name,
            size=space.size,
            items=plan.items,
            guard="" if plan.warps == self.plan.choices.warps else f"warp < {plan.warps}",
            table=f"units_{space_name}",
            table_size=plan.units_per_lane * self.plan.choices.warps * plan.places,
            places=plan.places,
            lanes_constant=f"kLanes{space_name}",
            place_of_lane=_place_of_lane(f"kLanes{space_name}", plan.rows),
            owners=_owners(plan.rows),
            struct=f"Unit{space_name}",
            array=f"units_of_{space_name}",
            fields=tuple(f for f in fields if f.names),
            parameters=tuple(Load(names(v.name), f"{names(v.name)}[u.unit]") for v in params),
            states=tuple(
                Load(names(v.name), f"state_{names(v.name)}[u.batch_column * {space.size} + u.unit]")
                for v in states
                if v in r.cell.kept_states
            ),
            zeroed=tuple(names(v.name) for v in states if v not in r.cell.kept_states),
            inputs=tuple(self._input_load(names(q.name), self._product_at(p, q)) for p, q in fetched)
            + tuple(self._input_load(names(v.name), self._input_at(v.name)) for v in inputs),
        )

    def _input_load(self, field: str, at: str) -> Load:
        return Load(field, at.format(t="t"), at.format(t="(t + kInputsAhead)"))

    def _product_at(self, p: InputProduct, rows: InputRows) -> str:
        """Where a unit's row of an input product lies, in step ``{t}``."""
        return (
            f"of_step({p.name}, {{t}}, batch * {p.row_count})"
            f"[(unsigned)(u.batch_column * {p.row_count} + {offset(rows.first_row)}u.unit)]"
        )

    def _input_at(self, name: str) -> str:
        """Where a unit's value of an input lies, in step ``{t}``."""
        start = offset(self._offset(name))
        place = f"(unsigned)(u.batch_column * kInput + {start}u.unit)"
        return f"of_step(input, {{t}}, batch * kInput)[{place}]"

    def _offset(self, name: str) -> int:
        """Where an input starts in the concatenation of all inputs."""
        start = 0
        for v in self.recurrence.cell.inputs:
            if v.name == name:
                return start
            start += v.space.size
        raise KeyError(name)

    def _is_read_in(self, name: str) -> bool:
        r = self.recurrence
        values = [e.equation.value for e in r.equations] + [r.output]
        return any(isinstance(n, Ref) and n.name == name for v in values for n in walk(v))


def _owners(rows: int) -> str:
    """Lanes of a row of ``rows`` units that end with a total: one for each unit and column of a group."""
    return "kWidth" if rows == 1 else "kTileRows * kWidth"


def _place_of_lane(lanes: str, rows: int) -> str:
    """Lane k of a row owns a column of unit k / kWidth of the row."""
    if rows == 1:
        return f"lane / {lanes}"
    return f"lane / {lanes} * kTileRows + lane % {lanes} / kWidth % kTileRows"
