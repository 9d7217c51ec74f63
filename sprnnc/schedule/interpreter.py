"""The ``plan`` executor: runs a Plan slot by slot in NumPy, from the very words the kernel loads.

It knows nothing of the cell's matrices: values, positions, owners and row totals all come from the
packed constants, so a layout or packing error shows as a wrong result that names this stage.
Numerics follow the kernel: storage-rounded weights and operands, fp32 (or chained fp16) sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.evaluate import evaluate, sparse_product
from sprnnc.cell.ir import DType
from sprnnc.cell.reference import runs
from sprnnc.cell.storage import to_storage
from sprnnc.layout.packing import unpack_dense
from sprnnc.passes.recurrence import InputProduct, Phase, Recurrence
from sprnnc.schedule.choices import Tier
from sprnnc.schedule.plan import PhasePlan, Plan, RowGroup
from sprnnc.schedule.slot_words import unpack_slots

FloatArray = NDArray[np.float32]
Environment = dict[str, Any]


class PlanInterpreter:
    """Runs one plan. ``packed`` holds the launch constants by name, as an artifact stores them."""

    def __init__(self, recurrence: Recurrence, plan: Plan, packed: Mapping[str, NDArray[Any]]) -> None:
        self._recurrence = recurrence
        self._plan = plan
        self._packed = packed
        self._slots = {
            p.index: unpack_slots(packed[f"slots_{p.index}"], p, plan.slot_format)
            for p in plan.phases
            if p.slots
        }
        self._params = {
            v.name: packed[f"param_{v.name}"][:, None]
            for v in recurrence.cell.params
            if f"param_{v.name}" in packed
        }

    def run(
        self,
        x: FloatArray,
        state: Mapping[str, FloatArray],
        lengths: NDArray[np.int32] | None = None,
        resets: NDArray[np.uint8] | None = None,
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """x [T, B, I], states [B, size] -> y [T, B, O] and the states after the last step, float32.

        B is at most the plan's. ``lengths`` [B]: past its length a column's y is zero and its states stay.
        ``resets`` [T, B]: where it is not zero, a column's states are zero before that step.
        NaN and Inf flow through as IEEE 754 says, without warnings.
        """
        ends = np.full(x.shape[1], len(x)) if lengths is None else lengths
        mask = np.zeros(x.shape[:2], np.uint8) if resets is None else resets
        with np.errstate(all="ignore"):
            return self._run(x, state, ends, mask)

    def _run(
        self, x: FloatArray, state: Mapping[str, FloatArray], lengths: NDArray[Any], resets: NDArray[Any]
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        cell = self._recurrence.cell
        states = {s.name: np.ascontiguousarray(state[s.name].T, dtype=np.float32) for s in cell.states}
        outputs = []
        for t in range(len(x) + cell.output_lag if len(x) else 0):
            now = min(t, len(x) - 1)  # after the last input nobody who runs reads one
            x_t, anew = x[now], runs(t, lengths) & (resets[now] != 0)
            states = {name: np.where(anew, np.float32(0), value) for name, value in states.items()}
            environment = self._inputs(x_t.T.astype(np.float32)) | self._params | states
            self._step(environment, len(x_t))
            if t >= cell.output_lag:
                running = runs(t - cell.output_lag, lengths)
                outputs.append(np.where(running, evaluate(self._recurrence.output, environment), 0).T)
            states = {
                name: np.where(runs(t - cell.lag(name), lengths), environment[f"{name}'"], value)
                for name, value in states.items()
            }
        shape = (len(x), x.shape[1], self._recurrence.output_space.size)
        y = np.stack(outputs).astype(np.float32) if outputs else np.zeros(shape, np.float32)
        return y, {name: value.T.copy() for name, value in states.items()}

    def _inputs(self, x_t: FloatArray) -> Environment:
        """Inputs by name [size, B], and the input products of this step."""
        environment: Environment = {}
        start = 0
        for v in self._recurrence.cell.inputs:
            environment[v.name] = x_t[start : start + v.space.size]
            start += v.space.size
        known = environment | self._params
        columns = x_t.shape[1]
        for p in self._recurrence.input_products:
            matrix = unpack_dense(self._packed[f"dense_{p.name}"], self._plan.dtype, p.cols.size)
            stacked = sparse_product(matrix, _input_operand(p, known, columns))
            for part in p.parts:
                rows = stacked[part.first_row : part.first_row + part.rows.size]
                environment[part.name] = known[part.name] = rows
        joined = {p.vector: _input_operand(p, known, columns) for p in self._recurrence.joined_products}
        return environment | joined

    def _step(self, environment: Environment, columns: int) -> None:
        """Evaluates one step; adds every equation's value to ``environment``."""
        self._equations(0, environment, columns)
        phases = zip(self._recurrence.phases, self._plan.phases, strict=True)
        for phase, plan in sorted(phases, key=lambda p: not p[0].joined):  # what is joined comes first
            self._products(phase, plan, self._operand(phase, plan, environment, columns), environment)
            if not phase.joined:
                self._equations(phase.index, environment, columns)

    def _equations(self, level: int, environment: Environment, columns: int) -> None:
        for e in self._recurrence.equations:
            if e.level == level:
                value = np.asarray(evaluate(e.equation.value, environment), np.float32)
                environment[e.equation.target] = np.broadcast_to(value, (e.equation.space.size, columns))

    def _operand(self, phase: Phase, plan: PhasePlan, environment: Environment, columns: int) -> FloatArray:
        """The exchanged vectors, rounded, at their positions, and the null positions: [positions, B]."""
        operand = np.zeros((plan.positions, columns), np.float32)
        places = {p.vector: self._packed[f"places_{p.name}"] for p in self._recurrence.joined_products}
        for v in phase.published:
            value = to_storage(np.asarray(environment[v.name]), self._plan.dtype).astype(np.float32)
            if phase.joined:
                operand[places[v.name]] = value
                continue
            unit, position = self._packed[f"units_{v.space.name}"].swapaxes(0, 1)
            owned = unit >= 0
            operand[phase.first_column(v.name) + position[owned]] = value[unit[owned]]
        return operand

    def _products(self, phase: Phase, plan: PhasePlan, operand: FloatArray, environment: Environment) -> None:
        """Evaluates every product, rank by rank, slot by slot; each lane group keeps its unit's total."""
        for product in phase.products:
            environment[product.name] = np.zeros((product.rows.size, operand.shape[1]), np.float32)
        first = 0
        for group in plan.row_groups:
            product = phase.products[group.product]
            space = self._plan.space(product.rows.name)
            units = self._packed[f"units_{space.name}"][:, 0]  # [blocks, items, warps, places]
            for item in range(group.first_item, group.first_item + group.items):
                sums = self._lane_sums(plan, group, first, operand)
                first += group.slots
                unit = units[:, item, : group.warps]
                by_row = sums.reshape(*sums.shape[:2], -1, space.lanes_per_row, *sums.shape[3:])
                rows = by_row.sum(axis=3)[:, : group.warps].reshape(*unit.shape, -1)
                owned = unit >= 0
                environment[product.name][unit[owned]] = rows[owned]

    def _lane_sums(self, plan: PhasePlan, group: RowGroup, first: int, operand: FloatArray) -> FloatArray:
        """Sums [blocks, warps, 32, tile rows, B] of one rank, accumulated as a lane does."""
        blocks, rows = self._plan.choices.all_blocks, self._plan.tile.rows
        shape = (blocks, plan.gather_warps, 32, rows, operand.shape[1])
        sums = np.zeros(shape, np.float32)
        if group.slots == 0:
            return sums
        value, position = self._slots[plan.index]
        for segment in group.segments:
            mine = slice(first, first + segment.slots)
            sums += self._segment_sums(
                value[:, :, mine], position[:, :, mine], operand, self._joined(segment.tier)
            )
            first += segment.slots
        return sums

    def _joined(self, tier: Tier) -> int:
        """Slots after which two chains of fp16 additions are joined to fp32; in memory, some whole runs."""
        most, form = self._plan.chain_slots, self._plan.slot_format
        if tier is Tier.REGISTER:
            return most
        loads = self._plan.choices.unroll.value if tier is Tier.SHARED else 1
        runs = max(1, min(most // form.slots_per_run, loads // form.loads_per_run))
        return min(most, form.slots_per_run * runs)

    def _segment_sums(
        self, value: FloatArray, position: NDArray[np.int32], operand: FloatArray, run: int
    ) -> FloatArray:
        """``value`` [blocks, warps, slots, 32, tile rows, tile columns], ``position`` its first four axes."""
        half, columns = self._plan.accumulate is DType.FP16, self._plan.tile.columns
        start = position // columns * columns
        sums = np.zeros((*value.shape[:2], *value.shape[3:5], operand.shape[1]), np.float32)
        chains = [np.zeros_like(sums), np.zeros_like(sums)]
        for s in range(value.shape[2]):
            for c in range(columns):
                product = value[:, :, s, :, :, c, None] * operand[start[:, :, s] + c][:, :, :, None]
                if not half:
                    sums += product
                    continue
                turn = (s * columns + c) % 2
                chains[turn] = (chains[turn] + product).astype(np.float16).astype(np.float32)
            if half and (s + 1) % run == 0:
                sums += _half_sum(chains)
                chains = [np.zeros_like(sums), np.zeros_like(sums)]
        return sums + _half_sum(chains)


def _input_operand(product: InputProduct, known: Environment, columns: int) -> FloatArray:
    """The operand of ``product`` [size, columns]; ``known``: what it reads but for its own definitions."""
    defined = dict(known)
    for e in product.definitions:
        defined[e.target] = np.asarray(evaluate(e.value, defined), np.float32)
    operand = np.asarray(evaluate(product.operand, defined), np.float32)
    if operand.ndim == 2 and operand.shape[1] == 1:  # made of parameters alone
        return np.broadcast_to(operand, (operand.shape[0], columns))
    return operand


def _half_sum(chains: list[FloatArray]) -> FloatArray:
    """The sum of two chains, rounded to fp16."""
    return (chains[0] + chains[1]).astype(np.float16).astype(np.float32)
