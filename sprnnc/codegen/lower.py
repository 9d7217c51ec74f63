"""Pass 7, first half: Plan + Recurrence -> KernelModel. All that is left after this is printing."""

from __future__ import annotations

from collections.abc import Callable

from sprnnc.cell.ir import DType, Expr, Ref, walk
from sprnnc.cell.printer import print_expr
from sprnnc.codegen.expressions import c_expression, offset
from sprnnc.codegen.inputs import input_product_model
from sprnnc.codegen.model import (
    Argument,
    Constant,
    KernelModel,
    LevelModel,
    PhaseModel,
    Publication,
    RowGroupModel,
    SegmentModel,
    SpaceLoop,
    SpaceModel,
)
from sprnnc.codegen.names import Names
from sprnnc.codegen.units import UnitFields
from sprnnc.passes.recurrence import Phase, Recurrence
from sprnnc.schedule.choices import Activations, Encoding, Exchange
from sprnnc.schedule.plan import PhasePlan, Plan, RowGroup

_STORAGE = {DType.FP32: "Float32", DType.FP16: "Float16", DType.BF16: "BFloat16"}


def lower_to_kernel(
    recurrence: Recurrence, plan: Plan, banner: tuple[str, ...], helper_text: Callable[[str], str]
) -> KernelModel:
    """The kernel model. ``helper_text`` gives the text of a device helper by file name."""
    names = Names()
    fields = UnitFields(recurrence, plan, names)
    spaces = {s.name: fields.space_model(s.name) for s in recurrence.spaces}
    phases = tuple(
        _phase_model(phase, plan_phase, plan, spaces, fields)
        for phase, plan_phase in zip(recurrence.phases, plan.phases, strict=True)
    )
    levels = tuple(
        LevelModel(phase, _loops(recurrence, level, spaces, fields))
        for level, phase in enumerate((None, *phases))
    )
    width = _STORAGE[plan.dtype], plan.width, plan.groups
    sums = "HalfSums" if plan.accumulate is DType.FP16 else "FloatSums"
    return KernelModel(
        banner=banner,
        helpers=tuple((name, helper_text(name)) for name in helper_files(recurrence, plan)),
        storage=width[0],
        slot="NarrowSlot" if plan.encoding is Encoding.NARROW else "WideSlot",
        sums=sums,
        lamport=plan.choices.exchange.value is Exchange.LAMPORT,
        constants=_constants(recurrence, plan),
        input_products=tuple(
            input_product_model(recurrence, product, names) for product in recurrence.input_products
        ),
        spaces=tuple(spaces.values()),
        phases=phases,
        levels=levels,
        final_loops=_final_loops(recurrence, spaces, fields),
        arguments=_arguments(recurrence, plan, names),
        final_states=_state_stores(recurrence, spaces, fields),
    )


def helper_files(recurrence: Recurrence, plan: Plan) -> tuple[str, ...]:
    """Device helpers that the kernel needs, in the order of their dependence."""
    files = ["ptx.cuh", "storage.cuh"]
    fast = plan.choices.activations.value is Activations.FAST
    files += ["activations_fast.cuh" if fast else "activations.cuh", "elementwise.cuh"]
    if recurrence.phases:
        lamport = plan.choices.exchange.value is Exchange.LAMPORT
        files += ["gather.cuh", "exchange.cuh", "lamport.cuh" if lamport else "barrier.cuh"]
    if recurrence.input_products:
        files.append("input_product.cuh")
    return tuple(files)


def _constants(recurrence: Recurrence, plan: Plan) -> tuple[Constant, ...]:
    c, choices = Constant, plan.choices
    constants = [
        c("kBlocks", choices.blocks.value, "one block an SM, all resident"),
        c("kThreads", choices.threads.value, "threads a block"),
        c("kWarps", choices.warps, "warps a block"),
        c("kBatch", plan.batch, "batch columns"),
        c("kWidth", plan.width, "columns that one load of the operand serves"),
        c("kGroups", plan.groups, "column groups: kGroups * kWidth >= kBatch"),
        c("kColumns", plan.padded_batch, "batch columns, padded"),
        c("kInput", sum(v.space.size for v in recurrence.cell.inputs), "values of one input column"),
        c("kOutput", recurrence.output_space.size, "values of one output column"),
    ]
    if recurrence.phases:
        constants += [
            c("kPhases", len(recurrence.phases), "exchanges a step"),
            c("kPolls", choices.polls_in_flight.value, "polls of a thread in flight"),
            c("kUnroll", choices.unroll.value, "slots in flight where they come from memory"),
            c("kChain", choices.chain.value, "fp16 additions before a sum is joined to fp32"),
        ]
    for p in plan.phases:
        chunks = p.columns * plan.row_bytes // p.chunk_bytes
        pad = (p.positions - p.columns) * plan.row_bytes // p.chunk_bytes
        constants += [
            c(f"kLength{p.index}", p.columns, f"values that phase {p.index} exchanges, of one column"),
            c(f"kPositions{p.index}", p.positions, "the same, then the null position and alignment"),
            c(f"kChunks{p.index}", chunks, f"{p.chunk_bytes}-byte chunks of one column group of a slot"),
            c(f"kPadChunks{p.index}", pad, "chunks of zeros that follow a group in shared memory"),
            c(f"kSlots{p.index}", p.slots, "slots of one warp, all tiers together"),
        ]
    drop = {"kPolls"} if choices.exchange.value is Exchange.BARRIER else {"kPhases"}
    return tuple(k for k in constants if k.name not in drop)


def _phase_model(
    phase: Phase, p: PhasePlan, plan: Plan, spaces: dict[str, SpaceModel], fields: UnitFields
) -> PhaseModel:
    publications = tuple(
        Publication(
            spaces[v.space.name],
            v.name,
            fields.reader(v.space.name)(v.name),
            f"u.batch_column / kWidth * kLength{p.index} + {offset(phase.first_column(v.name))}u.position",
        )
        for v in phase.published
    )
    products = "; ".join(f"{q.weight} @ {q.operand}" for q in phase.products)
    return PhaseModel(
        index=p.index,
        title=products,
        chunk_words=p.chunk_bytes // 4,
        slots=p.slots,
        register_slots=p.register_slots,
        shared_slots=p.shared_slots,
        streamed_slots=p.streamed_slots,
        operand_at=p.operand_at_bytes,
        totals_at=p.totals_at_bytes,
        slots_at=p.slots_at_bytes,
        row_groups=tuple(_row_group_model(g) for g in p.row_groups),
        publications=publications,
    )


def _row_group_model(group: RowGroup) -> RowGroupModel:
    segments = tuple(SegmentModel(s.tier.value, s.first, s.slots) for s in group.segments)
    where = " and ".join(f"{s.slots} in {_PLACE[s.tier]}" for s in segments) or "none"
    last = group.first_rank + group.rows - 1
    rows = (
        f"row {last} of each warp" if group.rows == 1 else f"rows {group.first_rank} to {last} of each warp"
    )
    return RowGroupModel(group.first_rank, group.rows, segments, f"{rows}: {where}")


_PLACE = {"register": "registers", "shared": "shared memory", "streamed": "global memory"}


def _loops(
    recurrence: Recurrence, level: int, spaces: dict[str, SpaceModel], fields: UnitFields
) -> tuple[SpaceLoop, ...]:
    """The equations of one level, by space, in the order in which the user wrote them."""
    loops = []
    for space in recurrence.spaces:
        equations = [
            e.equation for e in recurrence.equations if e.level == level and e.equation.space == space
        ]
        if equations:
            read = fields.reader(space.name)
            statements = fields.total_locals(level, [e.value for e in equations])
            for e in equations:
                target = fields.target(e.target)
                statements.append(f"{target} = {c_expression(e.value, read)};")
            loops.append(SpaceLoop(spaces[space.name], tuple(statements)))
    return tuple(loops)


def _final_loops(
    recurrence: Recurrence, spaces: dict[str, SpaceModel], fields: UnitFields
) -> tuple[SpaceLoop, ...]:
    """What ends a step: the output is stored, then the states advance."""
    loops = []
    for space in recurrence.spaces:
        statements = []
        read = fields.reader(space.name)
        if space == recurrence.output_space:
            value = c_expression(recurrence.output, read)
            statements.append(
                f"if (u.owned) output[((size_t)t * kBatch + u.batch_column) * kOutput + u.unit] = {value};"
            )
        for state in recurrence.cell.states:
            if state.space == space:
                statements.append(f"{read(state.name)} = {read(state.name + chr(39))};")
        if statements:
            loops.append(SpaceLoop(spaces[space.name], tuple(statements)))
    return tuple(loops)


def _state_stores(
    recurrence: Recurrence, spaces: dict[str, SpaceModel], fields: UnitFields
) -> tuple[SpaceLoop, ...]:
    loops = []
    for space in recurrence.spaces:
        stores = tuple(
            f"state_{fields.names(s.name)}[u.batch_column * {s.space.size} + u.unit] = "
            f"{fields.reader(space.name)(s.name)};"
            for s in recurrence.cell.states
            if s.space == space
        )
        if stores:
            loops.append(SpaceLoop(spaces[space.name], stores))
    return tuple(loops)


def _arguments(recurrence: Recurrence, plan: Plan, names: Names) -> tuple[Argument, ...]:
    """Arguments of the recurrence kernel, in order, each with the buffer that is bound to it."""
    a, cell = Argument, recurrence.cell
    arguments = []
    if reads_inputs(recurrence):
        arguments.append(a("const float*", "input", "x"))
    arguments += [a("const float*", p.name, p.name) for p in recurrence.input_products]
    arguments += [
        a("const float*", names(v.name), f"param_{v.name}")
        for v in cell.params
        if _is_read(recurrence, v.name)
    ]
    arguments += [a("const int*", f"units_{s.name}", f"units_{s.name}") for s in recurrence.spaces]
    arguments += [
        a("const unsigned*", f"slots_{p.index}", f"slots_{p.index}") for p in plan.phases if p.slots
    ]
    arguments += [a("float*", f"state_{names(s.name)}", f"state_{s.name}") for s in cell.states]
    arguments.append(a("float*", "output", "y"))
    arguments += [a("unsigned*", f"exchange_{p.index}", f"exchange_{p.index}") for p in plan.phases]
    if plan.phases:
        if plan.choices.exchange.value is Exchange.BARRIER:
            arguments.append(a("unsigned*", "arrivals", "arrivals"))
        arguments.append(a("unsigned*", "status", "status"))
    arguments.append(a("int", "steps", "$steps"))
    if plan.phases:
        arguments.append(a("unsigned long long", "budget_ns", "$budget_ns"))
    return tuple(arguments)


def reads_inputs(recurrence: Recurrence) -> bool:
    """Whether an equation in the loop reads an input elementwise."""
    return any(_is_read(recurrence, v.name) for v in recurrence.cell.inputs)


def _is_read(recurrence: Recurrence, name: str) -> bool:
    values: list[Expr] = [e.equation.value for e in recurrence.equations] + [recurrence.output]
    return any(isinstance(n, Ref) and n.name == name for value in values for n in walk(value))


def describe_equations(recurrence: Recurrence) -> tuple[str, ...]:
    """The cell's equations as the user wrote them, for the banner."""
    return tuple(f"{e.target} = {print_expr(e.value)}" for e in recurrence.cell.equations)
