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

from sprnnc.cell.evaluate import evaluate
from sprnnc.cell.ir import DType
from sprnnc.layout.packing import to_storage, unpack_dense, unpack_slots
from sprnnc.passes.recurrence import Phase, Recurrence
from sprnnc.schedule.choices import Encoding
from sprnnc.schedule.plan import PhasePlan, Plan

FloatArray = NDArray[np.float32]
Environment = dict[str, Any]


class PlanInterpreter:
    """Runs one plan. ``packed`` holds the launch constants by name, as an artifact stores them."""

    def __init__(self, recurrence: Recurrence, plan: Plan, packed: Mapping[str, NDArray[Any]]) -> None:
        self._recurrence = recurrence
        self._plan = plan
        self._packed = packed
        narrow = plan.encoding is Encoding.NARROW
        self._slots = {
            p.index: unpack_slots(packed[f"slots_{p.index}"], plan.dtype, narrow)
            for p in plan.phases
            if p.slots
        }
        self._params = {
            v.name: packed[f"param_{v.name}"][:, None]
            for v in recurrence.cell.params
            if f"param_{v.name}" in packed
        }

    def run(self, x: FloatArray, state: Mapping[str, FloatArray]) -> tuple[FloatArray, dict[str, FloatArray]]:
        """x [T, B, I], states [B, size] -> y [T, B, O] and the states after the last step, float32."""
        cell = self._recurrence.cell
        states = {s.name: np.ascontiguousarray(state[s.name].T, dtype=np.float32) for s in cell.states}
        outputs = []
        for x_t in x:
            environment = self._inputs(x_t.T.astype(np.float32)) | self._params | states
            self._step(environment)
            outputs.append(np.asarray(evaluate(self._recurrence.output, environment)).T)
            states = {s.name: environment[f"{s.name}'"] for s in cell.states}
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
        for p in self._recurrence.input_products:
            matrix = unpack_dense(self._packed[f"dense_{p.name}"], self._plan.dtype, p.cols.size)
            operand = np.asarray(evaluate(p.operand, known), np.float32)
            if operand.ndim == 2 and operand.shape[1] == 1:  # made of parameters alone
                operand = np.broadcast_to(operand, (operand.shape[0], x_t.shape[1]))
            stacked = matrix @ operand
            for part in p.parts:
                rows = stacked[part.first_row : part.first_row + part.rows.size]
                environment[part.name] = known[part.name] = rows
        return environment

    def _step(self, environment: Environment) -> None:
        """Evaluates one step; adds every equation's value to ``environment``."""
        self._equations(0, environment)
        for phase, plan in zip(self._recurrence.phases, self._plan.phases, strict=True):
            totals = self._row_totals(plan, self._operand(phase, plan, environment))
            self._read_totals(phase, totals, environment)
            self._equations(phase.index, environment)

    def _equations(self, level: int, environment: Environment) -> None:
        columns = self._plan.batch
        for e in self._recurrence.equations:
            if e.level == level:
                value = np.asarray(evaluate(e.equation.value, environment), np.float32)
                environment[e.equation.target] = np.broadcast_to(value, (e.equation.space.size, columns))

    def _operand(self, phase: Phase, plan: PhasePlan, environment: Environment) -> FloatArray:
        """The exchanged vectors, rounded, at their positions, and the null position: [columns + 1, B]."""
        operand = np.zeros((plan.columns + 1, self._plan.batch), np.float32)
        for v in phase.published:
            table = self._packed[f"units_{v.space.name}"]
            unit, position = table[:, 0].ravel(), table[:, 1].ravel()
            owned = unit >= 0
            value = to_storage(np.asarray(environment[v.name]), self._plan.dtype).astype(np.float32)
            operand[phase.first_column(v.name) + position[owned]] = value[unit[owned]]
        return operand

    def _row_totals(self, plan: PhasePlan, operand: FloatArray) -> FloatArray:
        """Totals [blocks, rows * warps, B], rank by rank, slot by slot."""
        choices, columns = self._plan.choices, self._plan.batch
        warps = choices.warps
        totals = np.zeros((choices.blocks.value, plan.rows * warps, columns), np.float32)
        if plan.slots == 0:
            return totals
        value, position = self._slots[plan.index]
        first = 0
        for group in plan.row_groups:
            for rank in range(group.first_rank, group.first_rank + group.rows):
                run = slice(first, first + group.slots)
                sums = self._lane_sums(value[:, :, run], position[:, :, run], operand)
                totals[:, rank * warps : (rank + 1) * warps] = sums.sum(axis=2, dtype=np.float32)
                first += group.slots
        return totals

    def _lane_sums(self, value: FloatArray, position: NDArray[np.int32], operand: FloatArray) -> FloatArray:
        """Sums [blocks, warps, 32, B] of one row rank, accumulated as a lane does."""
        half = self._plan.accumulate is DType.FP16
        sums = np.zeros((*value.shape[:2], value.shape[3], operand.shape[1]), np.float32)
        chain = np.zeros_like(sums)
        for s in range(value.shape[2]):
            product = value[:, :, s, :, None] * operand[position[:, :, s]]
            if not half:
                sums += product
                continue
            chain = (chain + product).astype(np.float16).astype(np.float32)
            if (s + 1) % self._plan.choices.chain.value == 0:
                sums, chain = sums + chain, np.zeros_like(chain)
        return sums + chain if half else sums

    def _read_totals(self, phase: Phase, totals: FloatArray, environment: Environment) -> None:
        """Each unit picks up the total of its row, through the unit table."""
        for product in phase.products:
            table = self._packed[f"units_{product.rows.name}"]
            unit = table[:, 0]
            row = 2 + self._recurrence.products_of(product.rows.name).index(product)
            value = np.zeros((product.rows.size, totals.shape[2]), np.float32)
            block, local = np.nonzero(unit >= 0)
            value[unit[block, local]] = totals[block, table[block, row, local]]
            environment[product.name] = value
