"""Stage 2, syntax tree -> Model or Network: cells, sizes, numerics; all semantic errors at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sprnnc.cell import ir
from sprnnc.cell.network import Network, Stream
from sprnnc.diagnostics import InternalError, fail, whole_number
from sprnnc.language import syntax as s
from sprnnc.language.check_cell import check_cell
from sprnnc.language.check_network import CheckedLayer, check_joints
from sprnnc.language.codes import Code
from sprnnc.language.report import Report, listed, near_match

MAX_SIZE = (1 << 31) - 1  # kernels count in 32 bits
_NO_SIZES: Mapping[str, int] = MappingProxyType({})
_DEFAULT_LAYER = "main"


def check(
    program: s.Program,
    *,
    source: str = "",
    filename: str = "",
    sizes: Mapping[str, int] = _NO_SIZES,
    dtype: ir.DType | None = None,
) -> ir.Model:
    """The checked model of ``program``, which has one layer.

    Takes and raises what ``check_program`` does, and CompileError E222 for a network.
    """
    checked = check_program(program, source=source, filename=filename, sizes=sizes, dtype=dtype)
    if isinstance(checked, ir.Model):
        return checked
    names = ", ".join(layer.name for layer in checked.layers)
    message = f"model '{checked.name}' joins layers ({names}); one layer in a file of its own is needed here"
    help = (
        "sprnnc check, compile, run, explain and prune take whole models; import --split writes layers apart"
    )
    raise fail(Code.ONE_LAYER, message, help=help)


def check_program(
    program: s.Program,
    *,
    source: str = "",
    filename: str = "",
    sizes: Mapping[str, int] = _NO_SIZES,
    dtype: ir.DType | None = None,
) -> ir.Model | Network:
    """The checked model of ``program``: of one layer, or a network of layers that are joined.

    ``sizes`` and ``dtype`` go before what the model block says; with sizes for all its symbols, the
    only cell of a file needs no model block. In a network a size is called ``layer.H``, and that of the
    input as the input is. ``source`` and ``filename`` are used in messages only.
    Raises CompileError with every E2xx diagnostic found.
    """
    report = Report()
    model = _ModelChecker(program, sizes, dtype, report).run()
    report.raise_if_any(source, filename)
    if model is None:
        raise InternalError("check", "no model and no diagnostic")
    return model


@dataclass(frozen=True, slots=True)
class _ModelChecker:
    program: s.Program
    overrides: Mapping[str, int]
    dtype: ir.DType | None
    report: Report

    def run(self) -> ir.Model | Network | None:
        self._refuse_duplicates([c.name for c in self.program.cells], "cell")
        model = self._only_model()
        if model is not None and _is_network(model):
            return self._network(model)
        return self._single(model)

    def _single(self, model: s.ModelDecl | None) -> ir.Model | None:
        layer = self._only_layer(model) if model is not None else None
        chosen = self._chosen_cell(model, layer)
        sizes = self._sizes(chosen, layer, self.overrides) if chosen is not None else None
        cell = None
        for decl in self.program.cells:
            checked = check_cell(decl, sizes if decl is chosen else None, self.report)
            cell = checked if decl is chosen else cell
        dtype, accumulate = self._numerics(model)
        schedule = self._schedule()
        if chosen is None or cell is None:
            return None
        return ir.Model(
            name=model.name.text if model is not None else chosen.name.text,
            layer=layer.name.text if layer is not None else _DEFAULT_LAYER,
            cell=cell,
            dtype=dtype,
            accumulate=accumulate,
            schedule=schedule,
        )

    def _network(self, model: s.ModelDecl) -> Network | None:
        decls = _layers(model)
        self._refuse_duplicates([i.name for i in decls], "layer")
        self._require_layers(model)
        entry = self._input(model)
        overrides = self._overrides_by_layer(model)
        layers = [CheckedLayer(i, self._cell(i, overrides[i.name.text])) for i in decls]
        used = {i.cell.text for i in decls}
        for decl in self.program.cells:
            if decl.name.text not in used:
                check_cell(decl, None, self.report)
        joints = check_joints(model, entry, layers, self.report)
        dtype, accumulate = self._numerics(model)
        schedule = self._schedule()
        if joints is None or entry is None:
            return None
        return Network(
            model.name.text,
            entry,
            joints.embeddings,
            joints.layers,
            joints.output,
            dtype,
            accumulate,
            schedule,
        )

    def _cell(self, layer: s.LayerDecl, overrides: Mapping[str, int]) -> ir.Cell | None:
        decl = self._cell_named(layer.cell)
        return check_cell(decl, self._sizes(decl, layer, overrides), self.report) if decl else None

    def _input(self, model: s.ModelDecl) -> Stream | None:
        """The model's input; None if there is none, or, reported, its size cannot be."""
        decl = next((i for i in model.statements if isinstance(i, s.ModelInputDecl)), None)
        if decl is None:
            return None
        name = decl.name.text
        if name in self.overrides:
            good = self._is_good_override(name, self.overrides[name], "the model's input")
            return Stream(name, int(self.overrides[name])) if good else None
        return Stream(name, int(decl.size.value)) if self._is_size(name, decl.size) else None

    def _overrides_by_layer(self, model: s.ModelDecl) -> dict[str, dict[str, int]]:
        """``layer.H`` by layer; what names neither a layer nor the input is reported."""
        layers = [i.name.text for i in _layers(model)]
        inputs = [i.name.text for i in model.statements if isinstance(i, s.ModelInputDecl)]
        found: dict[str, dict[str, int]] = {name: {} for name in layers}
        for name, value in self.overrides.items():
            layer, dot, size = name.partition(".")
            if dot and layer in found:
                found[layer][size] = value
            elif name not in inputs:
                self.report.add(
                    Code.SIZES_UNKNOWN,
                    f"no size '{name}', which was given from outside: the model has several layers",
                    help=f"name the layer, such as {layers[0] if layers else 'a'}.{size or name}; "
                    f"layers are {listed(layers)}",
                )
        return found

    def _refuse_duplicates(self, names: Sequence[s.Name], what: str) -> None:
        first: dict[str, s.Name] = {}
        for name in names:
            earlier = first.setdefault(name.text, name)
            if earlier is not name:
                self.report.add(
                    Code.DUPLICATE,
                    f"a second {what} '{name.text}'",
                    name.span,
                    f"the first is in line {earlier.span.line}",
                    "rename or remove one of them",
                )

    # ---- which cell

    def _only_model(self) -> s.ModelDecl | None:
        for extra in self.program.models[1:]:
            self.report.add(
                Code.ONE_LAYER,
                "a second model",
                extra.name.span,
                help="one model a file for now: put the other one in a file of its own",
            )
        return self.program.models[0] if self.program.models else None

    def _only_layer(self, model: s.ModelDecl) -> s.LayerDecl | None:
        self._require_layers(model)
        return next(iter(_layers(model)), None)

    def _require_layers(self, model: s.ModelDecl) -> None:
        if not _layers(model):
            self.report.add(
                Code.WHICH_CELL,
                f"model '{model.name.text}' has no layer",
                model.name.span,
                help="add one: layer main = Cell(I=.., H=..)",
            )

    def _chosen_cell(self, model: s.ModelDecl | None, layer: s.LayerDecl | None) -> s.CellDecl | None:
        cells = self.program.cells
        if not cells:
            self.report.add(
                Code.WHICH_CELL, "the program has no cell", help="describe one: cell Name(I, H) { ... }"
            )
            return None
        if layer is None:
            return self._cell_without_layer() if model is None else None
        return self._cell_named(layer.cell)

    def _cell_named(self, name: s.Name) -> s.CellDecl | None:
        for cell in self.program.cells:
            if cell.name.text == name.text:
                return cell
        known = [c.name.text for c in self.program.cells]
        self.report.add(
            Code.UNDEFINED,
            f"undefined cell '{name.text}'",
            name.span,
            help=near_match(name.text, known, f"cells of this file: {listed(known)}"),
        )
        return None

    def _cell_without_layer(self) -> s.CellDecl | None:
        cells = self.program.cells
        if len(cells) == 1:
            return cells[0]
        self.report.add(
            Code.WHICH_CELL,
            f"several cells and no model: {listed(c.name.text for c in cells)}",
            cells[1].name.span,
            help="add a model block that names one: model m { layer main = Cell(I=.., H=..) }",
        )
        return None

    # ---- sizes

    def _sizes(
        self, cell: s.CellDecl, layer: s.LayerDecl | None, overrides: Mapping[str, int]
    ) -> dict[str, int]:
        """The good sizes of ``cell``; every bad, missing or extra one is reported."""
        symbols = [i.text for i in cell.sizes]
        written = layer.sizes if layer is not None else ()
        self._refuse_duplicates([i.name for i in written], "value for size")
        sizes: dict[str, int] = {}
        for size in written:
            if self._is_symbol(size.name, symbols, cell) and self._is_size(size.name.text, size.value):
                sizes[size.name.text] = int(size.value.value)
        for name, value in overrides.items():
            if self._is_overridden(name, symbols, cell) and self._is_good_override(name, value, "size"):
                sizes[name] = int(value)
        mentioned = {i.name.text for i in written} | set(overrides)
        self._require_values([i for i in cell.sizes if i.text not in mentioned], cell, layer)
        return sizes

    def _is_symbol(self, name: s.Name, symbols: Sequence[str], cell: s.CellDecl) -> bool:
        if name.text in symbols:
            return True
        of_cell = f"sizes of {cell.name.text}: {listed(symbols)}"
        self.report.add(
            Code.SIZES_UNKNOWN,
            f"cell '{cell.name.text}' has no size '{name.text}'",
            name.span,
            help=near_match(name.text, symbols, of_cell),
        )
        return False

    def _is_size(self, name: str, written: s.Literal) -> bool:
        value = written.value
        if isinstance(value, int) and 1 <= value <= MAX_SIZE:
            return True
        self.report.add(
            Code.BAD_SIZE,
            f"size {name} = {value} is not possible",
            written.span,
            f"expected a whole number from 1 to {MAX_SIZE}",
            "a size is a number of units",
        )
        return False

    def _is_overridden(self, name: str, symbols: Sequence[str], cell: s.CellDecl) -> bool:
        if name in symbols:
            return True
        of_cell = f"sizes of {cell.name.text}: {listed(symbols)}"
        self.report.add(
            Code.SIZES_UNKNOWN,
            f"cell '{cell.name.text}' has no size '{name}', which was given from outside",
            help=near_match(name, symbols, of_cell),
        )
        return False

    def _is_good_override(self, name: str, value: int, what: str) -> bool:
        number = whole_number(value)
        if number is None or not 1 <= number <= MAX_SIZE:
            self.report.add(
                Code.BAD_SIZE,
                f"{what} {name} = {value!r}, given from outside, is not possible",
                help=f"a size is a whole number from 1 to {MAX_SIZE}",
            )
            return False
        return True

    def _require_values(self, missing: Sequence[s.Name], cell: s.CellDecl, layer: s.LayerDecl | None) -> None:
        if not missing:
            return
        call = f"{cell.name.text}({', '.join(f'{i.text}=..' for i in cell.sizes)})"
        self.report.add(
            Code.SIZES_UNKNOWN,
            f"no value for size {listed(i.text for i in missing)} of cell '{cell.name.text}'",
            layer.span if layer is not None else missing[0].span,
            help=f"write 'layer {layer.name.text if layer is not None else _DEFAULT_LAYER} = {call}' in a "
            "model block, or give the sizes from outside",
        )

    # ---- numerics and schedule

    def _numerics(self, model: s.ModelDecl | None) -> tuple[ir.DType, ir.DType]:
        statements = model.statements if model is not None else ()
        dtypes = [i for i in statements if isinstance(i, s.DTypeDecl)]
        accumulates = [i for i in statements if isinstance(i, s.AccumulateDecl)]
        written = self._only_dtype([i.dtype for i in dtypes], "dtype")
        accumulate = self._only_dtype([i.dtype for i in accumulates], "accumulate")
        dtype = self.dtype or written or ir.DType.FP32
        if accumulate is ir.DType.BF16:
            self._bad_accumulate(accumulates[0], "accumulation is in fp32 or fp16")
        elif accumulate is ir.DType.FP16 and dtype is not ir.DType.FP16:
            self._bad_accumulate(accumulates[0], f"fp16 sums need fp16 storage, and dtype is {dtype.value}")
        return dtype, accumulate or ir.DType.FP32

    def _only_dtype(self, names: Sequence[s.Name], keyword: str) -> ir.DType | None:
        """The first of ``names`` as a DType; None if there is none or, reported, it is unknown."""
        for extra in names[1:]:
            self.report.add(
                Code.DUPLICATE, f"a second '{keyword}'", extra.span, help="a model states it once"
            )
        if not names:
            return None
        known = {d.value: d for d in ir.DType}
        dtype = known.get(names[0].text)
        if dtype is None:
            self.report.add(
                Code.BAD_DTYPE,
                f"unknown dtype '{names[0].text}'",
                names[0].span,
                help=near_match(names[0].text, known, f"dtypes are {listed(known)}"),
            )
        return dtype

    def _bad_accumulate(self, decl: s.AccumulateDecl, why: str) -> None:
        self.report.add(
            Code.BAD_DTYPE,
            f"cannot accumulate in {decl.dtype.text}",
            decl.dtype.span,
            why,
            "write 'accumulate fp32', which goes with every dtype",
        )

    def _schedule(self) -> tuple[ir.ScheduleEntry, ...]:
        """The user's overrides as written; their names are the schedule stage's to know."""
        overrides = [o for block in self.program.schedules for o in block.overrides]
        self._refuse_duplicates([o.name for o in overrides], "override")
        return tuple(ir.ScheduleEntry(o.name.text, o.value, o.span) for o in overrides)


def _layers(model: s.ModelDecl) -> list[s.LayerDecl]:
    return [i for i in model.statements if isinstance(i, s.LayerDecl)]


def _is_network(model: s.ModelDecl) -> bool:
    """Whether its layers are joined, or could be: one forward layer that says nothing of it is a Model."""
    layers = _layers(model)
    ends = any(isinstance(i, (s.ModelInputDecl, s.ModelOutputDecl)) for i in model.statements)
    return ends or len(layers) > 1 or any(i.reads or i.reverse or i.shares for i in layers)
