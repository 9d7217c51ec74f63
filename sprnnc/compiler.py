"""The compiler's top: source text and weights in, Artifact out, through the nine stages in order."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from pprint import pformat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime.manifest import VERSION as FORMAT_VERSION
from sprnn_runtime.manifest import Manifest

from sprnnc.artifact import Artifact
from sprnnc.build.launch import describe_launch
from sprnnc.build.nvrtc import Cubin
from sprnnc.cell import weights as cell_weights
from sprnnc.cell.ir import DType, Model
from sprnnc.cell.network import Network
from sprnnc.cell.network_weights import network_shapes, random_tensors, validate_tensors
from sprnnc.cell.printer import print_model, print_network
from sprnnc.codegen.banner import banner
from sprnnc.codegen.lower import lower_to_kernel
from sprnnc.codegen.model import KernelModel
from sprnnc.codegen.render import render
from sprnnc.cubin_cache import build_cubin
from sprnnc.diagnostics import CompileError, fail, whole_number
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse
from sprnnc.layout import layout as layout_stage
from sprnnc.layout import partition as partition_stage
from sprnnc.network_artifact import NetworkArtifact
from sprnnc.network_compiler import Request, compile_network
from sprnnc.network_compiler import Tensors as NetworkTensors
from sprnnc.passes import phases as phases_stage
from sprnnc.passes.recurrence import Recurrence
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.schedule import assemble as schedule_stage
from sprnnc.schedule.choices import Choices, print_choices
from sprnnc.schedule.choose import MAX_BATCH, choose, with_fewer_threads
from sprnnc.schedule.fit_partition import fit_partition
from sprnnc.schedule.indices import with_single_values
from sprnnc.schedule.joining import as_chosen, recurrence_of, with_products_before
from sprnnc.schedule.memory import fixed_memory
from sprnnc.schedule.plan import Plan
from sprnnc.schedule.registers import layout_options
from sprnnc.schedule.relief import LAST_RELIEF, NO_SLOTS, Relief, next_relief
from sprnnc.sparsity.weight_files import check_tensors, load_tensors
from sprnnc.target import Target, find_target
from sprnnc.trace import Trace
from sprnnc.version import VERSION

Tensors = Mapping[str, NDArray[Any]]
_BUILD_ATTEMPTS = 7


@room_for_deep_expressions()
def compile(
    source: str | Path,
    *,
    weights: str | Path | Tensors | None = None,
    random_weights: int | None = None,
    batch: int = 1,
    target: str = "sm_90",
    sizes: Mapping[str, int] | None = None,
    dtype: str | DType | None = None,
    schedule: Mapping[str, object] | None = None,
    allow_nan: bool = False,
    dump_ir: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Artifact | NetworkArtifact:
    """Compiles a model and its weights to an artifact: of one layer, or of a network of layers.

    ``source``: a path to a ``.sprnn`` file, or its text (anything with a newline or a brace).
    ``weights``: a ``.npz`` or ``.safetensors`` file, or arrays by name: matrices [rows, cols],
    vectors [size], converted to float32, never aliased. Or ``random_weights``: a seed.
    ``batch``: 1 to 64 columns that run together. ``target``: a device name, or ``sim``.
    ``sizes`` and ``schedule`` override the model's sizes and the schedule block. In a network all tensors
    and sizes are called by their layer, ``a.U`` and ``a.H``, and decisions for one layer too: ``a.blocks``.
    ``dump_ir``: a folder that receives every stage as text, those of layers in folders of their own.
    ``progress`` is called with each stage's name.

    Raises CompileError for anything that is the user's to mend; every problem found is in it.
    """
    device = find_target(target)
    batch = _checked_batch(batch)
    text, filename = read_source(source)
    trace = Trace(Path(dump_ir) if dump_ir else None, progress)
    try:
        with trace.stage("parse") as dump:
            program = parse(text, filename)
            dump(pformat(program, width=110) + "\n")
        with trace.stage("check") as dump:
            named = {str(name): value for name, value in _by_name(sizes, "sizes").items()}
            model = check_program(program, source=text, filename=filename, sizes=named, dtype=as_dtype(dtype))
            dump(print_model(model) if isinstance(model, Model) else print_network(model))
        overrides, given = _by_name(schedule, "schedule"), _Weights(weights, random_weights, allow_nan)
        if isinstance(model, Network):
            return _compile_network(model, given, text, batch, device, overrides, trace)
        return _compile_layer(model, given.of_layer, text, batch, device, overrides, trace)
    except CompileError as error:
        if error.source:
            raise
        raise CompileError(error.diagnostics, text, filename) from None


def _compile_layer(
    model: Model,
    tensors_of: Callable[[Model], dict[str, NDArray[np.float32]]],
    text: str,
    batch: int,
    target: Target,
    schedule: Mapping[str, object],
    trace: Trace,
) -> Artifact:
    """Stages 3 to 9. Weights are read after what can be refused without them."""
    with trace.stage("phases") as dump:
        recurrence = phases_stage.split_into_phases(model.cell)
        dump(phases_stage.print_recurrence(recurrence))
    with trace.stage("choose") as dump:
        choices = choose(model, recurrence, batch, target, schedule)
        dump(print_choices(choices))
        recurrence = as_chosen(recurrence, choices)
        fixed_memory(model, recurrence, choices, batch, target)  # refuses sizes early
    with trace.stage("weights") as dump:
        tensors = tensors_of(model)
        dump(cell_weights.print_weights(tensors))
    return _lower(model, recurrence, choices, tensors, text, batch, target, trace)


def _compile_network(
    network: Network,
    weights: _Weights,
    text: str,
    batch: int,
    target: Target,
    schedule: Mapping[str, object],
    trace: Trace,
) -> NetworkArtifact:
    with trace.stage("weights") as dump:
        tensors = weights.of_network(network)
        dump(cell_weights.print_weights(tensors))

    def compile_layer(
        model: Model, own: NetworkTensors, overrides: Mapping[str, object], share: Target, trace: Trace
    ) -> Artifact:
        return _compile_layer(
            model, lambda _: dict(own), print_model(model) + "\n", batch, share, overrides, trace
        )

    request = Request(text, batch, target, schedule, device_helper("join.cuh"))
    return compile_network(network, tensors, request, compile_layer, trace)


def _lower(
    model: Model,
    recurrence: Recurrence,
    choices: Choices,
    tensors: dict[str, NDArray[np.float32]],
    text: str,
    batch: int,
    target: Target,
    trace: Trace,
) -> Artifact:
    """From the matrices to the artifact: stages 4 to 9, again in another way where registers spill."""
    try:
        return _lower_as_chosen(model, recurrence, choices, tensors, text, batch, target, trace, Relief())
    except CompileError as error:
        fewer = with_products_before(choices) or with_fewer_threads(choices) or with_single_values(choices)
        if error.diagnostics[0].code != "E411":
            raise
    if fewer is None:
        return _lower_as_chosen(model, recurrence, choices, tensors, text, batch, target, trace, LAST_RELIEF)
    recurrence = recurrence_of(model.cell, fewer)
    return _lower(model, recurrence, fewer, tensors, text, batch, target, trace)


def _lower_as_chosen(
    model: Model,
    recurrence: Recurrence,
    choices: Choices,
    tensors: dict[str, NDArray[np.float32]],
    text: str,
    batch: int,
    target: Target,
    trace: Trace,
    relief: Relief,
) -> Artifact:
    """Stages 4 to 9. Raises CompileError E411 where a thread has too few registers."""
    with trace.stage("partition") as dump:
        tile, choices, partition = fit_partition(model, recurrence, choices, tensors, batch, target)
        partition_stage.verify(partition)
        dump(partition_stage.print_partition(partition))
    with trace.stage("layout") as dump:
        options = layout_options(model, recurrence, choices, batch, target, tile)
        layout = layout_stage.lay_out(recurrence, tensors, partition, options)
        layout_stage.verify(layout)
        layout_stage.verify_tiles(layout, recurrence)
        dump(layout_stage.print_layout(layout))
    plan, kernel, source, cubin = _schedule_and_build(
        model, recurrence, layout, choices, batch, target, trace, relief
    )
    with trace.stage("artifact") as dump:
        launch = describe_launch(recurrence, plan, layout, tensors, kernel, target)
        manifest = _manifest(model, recurrence, plan, launch.buffers, launch.kernels, cubin)
        dump(json.dumps(manifest.to_json(), indent=1) + "\n")
    return Artifact(
        manifest=manifest,
        kernel_source=source,
        plan=plan,
        model=model,
        tensors=tensors,
        packed=launch.packed,
        cubin=cubin.code if cubin else None,
        source_text=text,
    )


def _schedule_and_build(
    model: Model,
    recurrence: Recurrence,
    layout: layout_stage.Layout,
    choices: Choices,
    batch: int,
    target: Target,
    trace: Trace,
    relief: Relief,
) -> tuple[Plan, KernelModel, str, Cubin | None]:
    """Stages 6 to 8.

    A plan that spills goes back to 6, and gives something up besides ``relief``.
    """
    for left in reversed(range(_BUILD_ATTEMPTS)):
        with trace.stage("schedule") as dump:
            plan = schedule_stage.assemble(model, recurrence, layout, choices, batch, target, relief)
            dump(schedule_stage.print_plan(plan))
        with trace.stage("render") as dump:
            lines = banner(model, recurrence, plan)
            kernel = lower_to_kernel(recurrence, plan, lines, device_helper)
            source = render(kernel)
            dump(source)
        if target.arch is None:
            return plan, kernel, source, None
        with trace.stage("build") as dump:
            cubin = build_cubin(source, target.arch)
            dump("\n".join(f"{name}: {r}" for name, r in sorted(cubin.resources.items())) + "\n")
        used = cubin.resources["recurrence"]
        if used.spill_bytes == 0:
            return plan, kernel, source, cubin
        if relief in (NO_SLOTS, LAST_RELIEF):
            break
        relief = next_relief(plan, relief, used.spill_bytes) if left > 1 else NO_SLOTS
    raise fail(
        "E411",
        f"the kernel spills {used.spill_bytes} bytes of registers even with no slots in them",
        help="a smaller batch, fewer threads, more blocks or fewer lanes a row leave a thread more registers",
    )


def _manifest(
    model: Model,
    recurrence: Recurrence,
    plan: Plan,
    buffers: list[dict[str, Any]],
    kernels: list[dict[str, Any]],
    cubin: Cubin | None,
) -> Manifest:
    cell = model.cell
    return Manifest.from_json(
        {
            "format": "sprnnx",
            "version": list(FORMAT_VERSION),
            "compiler": VERSION,
            "name": model.name,
            "cell": cell.name,
            "target": plan.target,
            "arch": cubin.arch if cubin else None,
            "dtype": plan.dtype.value,
            "batch": plan.batch,
            "devices": plan.choices.devices.value,
            "inputs": [{"name": v.name, "size": v.space.size} for v in cell.inputs],
            "states": [{"name": v.name, "size": v.space.size} for v in cell.kept_states],
            "output_size": recurrence.output_space.size,
            "steps_per_launch": plan.choices.steps_per_launch.value,
            "resources": {
                name: {
                    "registers": r.registers,
                    "shared_bytes": r.shared_bytes + (plan.shared_bytes if name == "recurrence" else 0),
                    "spill_bytes": r.spill_bytes,
                }
                for name, r in (cubin.resources if cubin else {}).items()
            },
            "buffers": buffers,
            "kernels": kernels,
            "files": {},
        }
    )


def read_source(source: str | Path) -> tuple[str, str]:
    """The text and a name for messages. Raises CompileError E101 where a file cannot be read."""
    if isinstance(source, str) and ("\n" in source or "{" in source):
        return source, "<source>"
    if not isinstance(source, (str, os.PathLike)):
        raise fail("E101", f"the source is {type(source).__name__}, expected text or a path")
    if not str(source):
        raise fail("E101", "the source is empty", help="give a path to a .sprnn file, or its text")
    path = Path(source)
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        raise fail("E101", f"cannot read {path}: {error}", help="give a .sprnn file in UTF-8") from error


def _by_name(given: object, what: str) -> Mapping[str, Any]:
    """``given`` where it maps names to values; None is empty. Raises CompileError E403 for anything else."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise fail("E403", f"{what} is {type(given).__name__}, expected values by name, such as {{'H': 64}}")
    return given


def as_dtype(dtype: str | DType | None) -> DType | None:
    """A storage type by name. Raises CompileError E216 for an unknown one."""
    if dtype is None or isinstance(dtype, DType):
        return dtype
    try:
        return DType(dtype)
    except ValueError:
        known = ", ".join(d.value for d in DType)
        raise fail("E216", f"unknown dtype '{dtype}'", help=f"expected one of {known}") from None


def device_helper(name: str) -> str:
    """The text of a device helper, without its include guard."""
    text = resources.files("sprnn_runtime.device").joinpath(name).read_text(encoding="utf-8")
    return text.replace("#pragma once\n", "").strip() + "\n"


def _checked_batch(batch: object) -> int:
    columns = whole_number(batch)
    if columns is None or not 1 <= columns <= MAX_BATCH:
        raise fail("E405", f"batch {batch!r} cannot be: expected 1 to {MAX_BATCH} columns")
    return columns


@dataclass(frozen=True, slots=True)
class _Weights:
    """Where the tensors come from: a file, arrays by name, or a seed for random ones."""

    given: str | Path | Tensors | None
    seed: int | None
    allow_nan: bool

    def of_layer(self, model: Model) -> dict[str, NDArray[np.float32]]:
        """All tensors of a cell by name. Raises CompileError E301 to E312."""
        if self._random:
            return cell_weights.random_weights(model.cell, self._seed)
        tensors = self._read(cell_weights.expected_shapes(model.cell))
        cell_weights.validate_weights(model.cell, tensors, self.allow_nan, model.dtype)
        return tensors

    def of_network(self, network: Network) -> dict[str, NDArray[np.float32]]:
        """The same of a network, by ``layer.tensor``."""
        if self._random:
            return random_tensors(network, self._seed)
        tensors = self._read(network_shapes(network))
        validate_tensors(network, tensors, self.allow_nan)
        return tensors

    @property
    def _random(self) -> bool:
        if (self.given is None) == (self.seed is None):
            raise fail(
                "E301",
                "no weights" if self.given is None else "both weights and random weights",
                help="give either a weight file (--weights W.npz) or a seed for random ones "
                "(--random-weights 0)",
            )
        return self.seed is not None

    @property
    def _seed(self) -> int:
        number = whole_number(self.seed)
        if number is None or number < 0:
            raise fail("E301", f"the seed is {self.seed!r}, expected a whole number from 0")
        return number

    def _read(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        if isinstance(self.given, Mapping):
            return check_tensors(self.given, shapes)
        if not isinstance(self.given, (str, os.PathLike)):
            raise fail("E301", f"weights are {type(self.given).__name__}, expected a path or arrays by name")
        return load_tensors(Path(self.given), shapes)
