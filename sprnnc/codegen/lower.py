"""Pass 7, first half: Plan + Recurrence -> KernelModel. All that is left after this is printing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sprnnc.cell.ir import DType, Expr, Ref, walk
from sprnnc.codegen.devices import at_system_scope, copied_buffers, copy_arguments, everywhere, on_first
from sprnnc.codegen.expressions import c_expression, offset
from sprnnc.codegen.inputs import input_product_model, joined_operand_model
from sprnnc.codegen.model import (
    Argument,
    Constant,
    GatherCall,
    KernelModel,
    LevelModel,
    PhaseModel,
    Publication,
    RowGroupModel,
    SpaceLoop,
    SpaceModel,
    Total,
)
from sprnnc.codegen.names import Names
from sprnnc.codegen.units import UnitFields
from sprnnc.passes.recurrence import Phase, Recurrence
from sprnnc.schedule.choices import Activations, Encoding, Exchange, Resets, Tier, Unpack
from sprnnc.schedule.plan import PhasePlan, Plan, RowGroup

_INPUTS_AHEAD = 4
_STORAGE = {DType.FP32: "Float32", DType.FP16: "Float16", DType.BF16: "BFloat16"}


def lower_to_kernel(
    recurrence: Recurrence, plan: Plan, banner: tuple[str, ...], helper_text: Callable[[str], str]
) -> KernelModel:
    """The kernel model. ``helper_text`` gives the text of a device helper by file name."""
    helpers = tuple((name, helper_text(name)) for name in helper_files(recurrence, plan))
    if plan.choices.devices.value > 1:
        helpers = tuple((name, at_system_scope(text)) for name, text in helpers)
    names = Names(text for _, text in helpers)
    fields = UnitFields(recurrence, plan, names)
    spaces = {s.name: fields.space_model(s.name) for s in recurrence.spaces}
    phases = tuple(
        _phase_model(phase, plan_phase, plan, spaces, fields)
        for phase, plan_phase in zip(recurrence.phases, plan.phases, strict=True)
    )
    levels = tuple(
        LevelModel(phase, _loops(recurrence, level, spaces, fields))
        for level, phase in enumerate((None, *phases[: len(recurrence.exchanges)]))
    )
    joined = recurrence.joined
    return KernelModel(
        banner=banner,
        helpers=helpers,
        storage=_STORAGE[plan.dtype],
        flag_at=plan.flag_at_bytes,
        late_io=bool(recurrence.phases) and not levels[0].loops,
        lag=recurrence.cell.output_lag,
        fetches=any(s.inputs for s in spaces.values()),
        sums=_sums(plan),
        lamport=plan.choices.exchange.value is Exchange.LAMPORT,
        keeps_packed=plan.unpack is Unpack.EACH_STEP,
        pins_lane=plan.pins_lane,
        constants=_constants(recurrence, plan),
        input_products=tuple(
            input_product_model(recurrence, product, names) for product in recurrence.input_products
        ),
        joined_operands=tuple(
            joined_operand_model(recurrence, joined, product, names)
            for product in recurrence.joined_products
            if joined
        ),
        joined=phases[-1] if joined else None,
        spaces=tuple(spaces.values()),
        phases=phases,
        levels=levels,
        reset_loops=_reset_loops(recurrence, plan, spaces, fields),
        final_loops=_final_loops(recurrence, spaces, fields),
        output_space=spaces[recurrence.output_space.name],
        arguments=_arguments(recurrence, plan, names),
        copied=copied_buffers(plan),
        final_states=_state_stores(recurrence, spaces, fields),
    )


def helper_files(recurrence: Recurrence, plan: Plan) -> tuple[str, ...]:
    """Device helpers that the kernel needs, in the order of their dependence."""
    files = ["ptx.cuh", "storage.cuh"]
    fast = plan.choices.activations.value is Activations.FAST
    files += ["activations_fast.cuh" if fast else "activations.cuh", "elementwise.cuh"]
    if recurrence.phases:
        lamport = plan.choices.exchange.value is Exchange.LAMPORT
        files += ["gather.cuh", "gather_tiles.cuh"] if plan.tile.values > 1 else ["gather.cuh"]
        files.append("exchange.cuh")
        files += ["bulk.cuh"] if any(p.couriers for p in plan.phases) else []
        by_threads = any(not p.couriers for p in plan.exchanges)
        files += ["lamport.cuh" if lamport else "barrier.cuh"] if by_threads else []
        if plan.choices.devices.value > 1:
            files += ["devices.cuh"] if lamport else ["devices.cuh", "devices_barrier.cuh"]
    if recurrence.joined:
        files.append("joined.cuh")
        files += ["bulk_joined.cuh"] if plan.phases[0].couriers else []
    if recurrence.input_products:
        files.append("input_product.cuh")
    return tuple(files)


def _constants(recurrence: Recurrence, plan: Plan) -> tuple[Constant, ...]:
    c, choices = Constant, plan.choices
    constants = [
        c("kThreads", choices.threads.value, "threads a block"),
        c("kWarps", choices.warps, "warps a block"),
        c("kWidth", plan.width, "columns that one load of the operand serves"),
        c("kGroups", plan.groups, f"groups of such columns, for a batch of {plan.batch} at most"),
        c("kInput", sum(v.space.size for v in recurrence.cell.inputs), "values of one input column"),
        c("kOutput", recurrence.output_space.size, "values of one output column"),
    ]
    if reads_inputs(recurrence) or recurrence.input_products:
        constants.append(
            c("kInputsAhead", _INPUTS_AHEAD, "steps before its use that an input is brought into L2")
        )
    if recurrence.cell.output_lag:
        constants.append(
            c("kLag", recurrence.cell.output_lag, "steps that the last layer is behind the first")
        )
    constants += [
        c(f"kLanes{s.name}", s.lanes_per_row, f"lanes that share a row of {s.name}") for s in plan.spaces
    ]
    if plan.tile.values > 1:
        constants += [
            c("kTileRows", plan.tile.rows, "rows of a tile, whose values one index serves"),
            c("kTileColumns", plan.tile.columns, "columns of a tile: adjacent positions of the operand"),
            c("kRun", plan.tile.run, "positions that one load of the operand brings"),
        ]
    if recurrence.phases:
        constants.append(
            c("kChain", choices.chain.value, "fp16 additions of each of two chains before fp32 takes over")
        )
    if any(p.register_slots or p.shared_slots for p in plan.phases):
        constants.append(c("kInFlight", plan.loads_in_flight, "slots whose operand is loaded at once"))
    if choices.exchange.value is Exchange.BARRIER and recurrence.phases:
        constants.append(c("kBlocks", choices.all_blocks, "one block an SM, all resident"))
        constants.append(c("kPhases", len(recurrence.exchanges), "exchanges a step"))
    elif any(not p.couriers and _polls(p, plan) == "kPolls" for p in plan.exchanges):
        constants.append(c("kPolls", choices.polls_in_flight.value, "polls of a thread in flight"))
    if choices.exchange.value is Exchange.LAMPORT and recurrence.phases:
        constants.append(
            c("kFirstPoll", choices.first_poll_cycles.value, "cycles before what others publish can be there")
        )
    if any(p.shared_slots or p.streamed_slots for p in plan.phases):
        constants.append(c("kUnroll", choices.unroll.value, "loads of slots in flight, 16 bytes each"))
    for p in plan.phases:
        constants += _phase_constants(p, plan)
    return tuple(constants)


def _phase_constants(p: PhasePlan, plan: Plan) -> list[Constant]:
    c, i = Constant, p.index
    of_what = f"of inputs that phase {i} multiplies" if p.joined else f"that phase {i} exchanges"
    chunks = p.columns * plan.row_bytes // p.chunk_bytes
    pad = (p.positions - p.columns) * plan.row_bytes // p.chunk_bytes
    constants = [
        c(
            f"kLength{i}",
            p.columns,
            f"values {of_what}, of one column",
        ),
        c(f"kPositions{i}", p.positions, "the same, then the null positions and alignment"),
        c(f"kChunks{i}", chunks, f"{p.chunk_bytes}-byte chunks of one column group of a slot"),
        c(f"kPadChunks{i}", pad, "chunks of zeros that follow a group in shared memory"),
        c(f"kGatherWarps{i}", p.gather_warps, "warps that gather, the first ones"),
        c(f"kLaneWords{i}", p.lane_words, "words of one lane's slots, all tiers together"),
    ]
    if p.couriers:
        constants.append(c(f"kCouriers{i}", p.couriers, "warps that look after a bulk copy each"))
    return constants if p.slots else [k for k in constants if not k.name.startswith("kLaneWords")]


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
        for v in ([] if phase.joined else phase.published)
    )
    return PhaseModel(
        index=p.index,
        title="; ".join(f"{q.weight} @ {q.operand}" for q in phase.products),
        chunk_words=p.chunk_bytes // 4,
        polls=_polls(p, plan),
        couriers=p.couriers,
        gather_warps=f"kGatherWarps{p.index}",
        guard=_guard(p.gather_warps, plan),
        ranks=p.ranks,
        counts_slots=any(g.sure < g.slots for g in p.row_groups),
        register_words=p.register_words,
        shared_words=p.shared_words,
        streamed_words=p.streamed_words,
        ahead=min(plan.choices.prefetch.value, p.streamed_words // 4),
        operand_at=p.operand_at_bytes,
        arrivals_at=p.arrivals_at_bytes,
        slots_at=p.slots_at_bytes,
        slots=p.slots,
        totals=tuple(
            Total(f"totals_{fields.names(q.name)}", plan.space(q.rows.name).items) for q in phase.products
        ),
        slot=_slot(p, plan),
        row_groups=_row_group_models(phase, p, plan, fields),
        publications=publications,
        chunks=f"Chunks<kGroups, kChunks{p.index}, kPadChunks{p.index}, {p.chunk_bytes // 4}, kThreads>",
        step_words=f"(kGroups * kLength{p.index} * (kWidth / Storage::columns_per_word))",
        slot_to_publish=everywhere("slot", f"exchange_{p.index}", plan),
        counter=everywhere("arrivals", "arrivals", plan),
    )


def _polls(p: PhasePlan, plan: Plan) -> str:
    """Polls of a thread in flight: no more than it has chunks to look at."""
    chunks = plan.groups * p.columns * plan.row_bytes // p.chunk_bytes
    most = -(-chunks // plan.choices.threads.value)
    return "kPolls" if plan.choices.polls_in_flight.value <= most else str(most)


def _guard(warps: int, plan: Plan) -> str:
    return "" if warps == plan.choices.warps else f"warp < {warps}"


def _slot(p: PhasePlan, plan: Plan) -> str:
    """The C type of a slot of phase ``p``."""
    unit, each_step = plan.row_bytes // p.position_step, str(plan.unpack is Unpack.EACH_STEP).lower()
    match plan.encoding:
        case Encoding.NARROW:
            return f"NarrowSlot<{unit}, {each_step}>"
        case Encoding.WIDE:
            return f"WideSlot<{unit}, {each_step}>"
        case Encoding.BLOCK:
            return f"TileSlot<Storage, kTileRows, kTileColumns, kRun, {each_step}>"


def _sums(plan: Plan) -> str:
    """The C type of a lane's partial sums of one row, or of those of a tile."""
    kind = "HalfSums" if plan.accumulate is DType.FP16 else "FloatSums"
    if plan.encoding is Encoding.BLOCK:
        return f"Tile{kind}<Storage, kTileRows, kTileColumns, kWidth, kGroups>"
    return f"{kind}<Storage, kWidth, kGroups>"


def _row_group_models(
    phase: Phase, p: PhasePlan, plan: Plan, fields: UnitFields
) -> tuple[RowGroupModel, ...]:
    models, rank = [], 0
    for group in (g for whole in p.row_groups for g in _constant_loads(whole, plan)):
        product = phase.products[group.product]
        used = f"used_{p.index}[{offset(rank)}i]" if group.sure < group.slots else str(group.slots)
        total = f"totals_{fields.names(product.name)} + ({offset(group.first_item)}i) * kGroups"
        models.append(
            RowGroupModel(
                items=group.items,
                guard=_guard(group.warps, plan) if group.warps < p.gather_warps else "",
                calls=_gather_calls(group, p, plan, used),
                lanes_constant=f"kLanes{product.rows.name}",
                total=total,
                comment=f"{product.weight} @ {product.operand}{_items(group)}: {_places(group)}",
            )
        )
        rank += group.items
    return tuple(models)


def _constant_loads(group: RowGroup, plan: Plan) -> tuple[RowGroup, ...]:
    """``group``, bundle by bundle if it streams: the compiler must know which loads were made ahead."""
    if all(s.tier is not Tier.STREAMED for s in group.segments):
        return (group,)

    def bundle(k: int) -> RowGroup:
        segments = []
        for s in group.segments:
            each = plan.slot_format.tier_words(s.tier, s.slots)
            segments.append(replace(s, first=s.first + k * each))
        return replace(group, first_item=group.first_item + k, items=1, segments=tuple(segments))

    return tuple(bundle(k) for k in range(group.items))


def _gather_calls(group: RowGroup, p: PhasePlan, plan: Plan, used: str) -> tuple[GatherCall, ...]:
    """One call a segment; ``used`` counts from the first slot of the bundle."""
    calls, before, words, slot = [], 0, plan.slot_format.words, f"Slot{p.index}"
    for s in group.segments:
        rest = used if not before else f"{used} - {before}"
        quad = s.first // 4
        step = plan.slot_format.tier_words(s.tier, s.slots) // 4
        if s.tier is Tier.REGISTER:
            sure = max(0, min(group.sure - before, s.slots))
            function = f"gather_registers<{slot}, {s.first // words}, {s.slots}, {sure}, kChain, kInFlight>"
            arguments = f"register_words_{p.index}, i, {rest}"
        elif s.tier is Tier.SHARED:
            function = f"gather_shared<{slot}, {s.slots}, kChain, kUnroll, kInFlight>"
            arguments = f"shared_quads_{p.index} + ({offset(quad)}i * {step}) * 32, {rest}"
        else:
            function = f"gather_streamed<{slot}, {quad}, {s.slots}, kChain, kUnroll>"
            arguments = f"streamed_quads_{p.index}, ahead_{p.index}, {rest}"
        calls.append(GatherCall(function, arguments, "addressed" if s.tier is Tier.REGISTER else "operand"))
        before += s.slots
    return tuple(calls)


def _items(group: RowGroup) -> str:
    last = group.first_item + group.items - 1
    return f", items {group.first_item} to {last}" if group.items > 1 else f", item {last}" if last else ""


def _places(group: RowGroup) -> str:
    return " and ".join(f"{s.slots} slots in {_PLACE[s.tier]}" for s in group.segments) or "no slots"


_PLACE = {Tier.REGISTER: "registers", Tier.SHARED: "shared memory", Tier.STREAMED: "global memory"}


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


def _reset_loops(
    recurrence: Recurrence, plan: Plan, spaces: dict[str, SpaceModel], fields: UnitFields
) -> tuple[SpaceLoop, ...]:
    """What begins a step where a mask may say that a column's states are zero before it."""
    if plan.choices.resets.value is Resets.NONE:
        return ()
    loops = []
    for space in recurrence.spaces:
        names = [s.name for s in recurrence.cell.states if s.space == space]
        states = [fields.reader(space.name)(name) for name in names]
        if states:
            statements = tuple(f"{now} = anew[item % kGroups] ? 0.0f : {now};" for now in states)
            loops.append(SpaceLoop(spaces[space.name], statements))
    return tuple(loops)


def _final_loops(
    recurrence: Recurrence, spaces: dict[str, SpaceModel], fields: UnitFields
) -> tuple[SpaceLoop, ...]:
    """What ends a step: the output is known, then the states advance; those of ended columns stay."""
    loops, cell = [], recurrence.cell
    for space in recurrence.spaces:
        statements, lags = [], []
        read = fields.reader(space.name)
        if space == recurrence.output_space:
            lags.append(cell.output_lag)
            value = c_expression(recurrence.output, read)
            statements.append(f"u.result = {_running(cell.output_lag)} ? {value} : 0.0f;")
        for state in cell.states:
            if state.space == space:
                lags.append(cell.lag(state.name))
                now, then = read(state.name), read(state.name + "'")
                statements.append(f"{now} = {_running(lags[-1])} ? {then} : {now};")
        if statements:
            tests = [_running_test(lag) for lag in dict.fromkeys(sorted(lags))]
            loops.append(SpaceLoop(spaces[space.name], (*tests, *statements)))
    return tuple(loops)


def _running(lag: int) -> str:
    return f"running_{lag}" if lag else "running"


def _running_test(lag: int) -> str:
    """Whether a column is within its length, for what is ``lag`` steps late."""
    if not lag:
        return "const bool running = t < ends[item % kGroups];  // past its length a column keeps its states"
    late = f"t >= {lag} && t - {lag} < ends[item % kGroups]"
    return f"const bool {_running(lag)} = {late};  // {lag} late"


def _state_stores(
    recurrence: Recurrence, spaces: dict[str, SpaceModel], fields: UnitFields
) -> tuple[SpaceLoop, ...]:
    loops = []
    for space in recurrence.spaces:
        stores = tuple(
            f"state_{fields.names(s.name)}[u.batch_column * {s.space.size} + u.unit] = "
            f"{fields.reader(space.name)(s.name)};"
            for s in recurrence.cell.kept_states
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
    for p in plan.phases:
        if p.slots:
            arguments.append(a("const unsigned*", f"slots_{p.index}", f"slots_{p.index}"))
            arguments.append(a("const int*", f"slots_used_{p.index}", f"used_{p.index}"))
    arguments += [
        a("float*", f"state_{names(s.name)}", on_first(f"state_{s.name}", plan)) for s in cell.kept_states
    ]
    arguments.append(a("float*", "output", on_first("y", plan)))
    if plan.joined:
        i = plan.joined.index
        arguments.append(a("const unsigned*", f"joined_{i}", f"joined_{i}"))
    arguments += [a("unsigned*", f"exchange_{p.index}", f"exchange_{p.index}") for p in plan.exchanges]
    if plan.phases:
        if plan.choices.exchange.value is Exchange.BARRIER:
            arguments.append(a("unsigned*", "arrivals", "arrivals"))
        arguments.append(a("unsigned*", "status", "status"))
    arguments.append(a("const int*", "lengths", "lengths"))
    if plan.choices.resets.value is Resets.BY_MASK and cell.states:
        arguments.append(a("const unsigned char*", "resets", "resets"))
    arguments += [a("int", "batch", "$batch"), a("int", "first", "$first"), a("int", "steps", "$steps")]
    if plan.phases:
        arguments.append(a("unsigned long long", "budget_ns", "$budget_ns"))
    return (*arguments, *copy_arguments(plan))


def reads_inputs(recurrence: Recurrence) -> bool:
    """Whether an equation in the loop reads an input elementwise."""
    return any(_is_read(recurrence, v.name) for v in recurrence.cell.inputs)


def _is_read(recurrence: Recurrence, name: str) -> bool:
    values: list[Expr] = [e.equation.value for e in recurrence.equations] + [recurrence.output]
    return any(isinstance(n, Ref) and n.name == name for value in values for n in walk(value))
