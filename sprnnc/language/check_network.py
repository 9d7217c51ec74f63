"""Checks how the layers of a model are joined: names, order, sizes, and that nothing is left over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sprnnc.cell.ir import Cell
from sprnnc.cell.network import Concat, Embedding, Joined, NetworkLayer, Stream, Sum, size_of, streams_of
from sprnnc.diagnostics import NO_SPAN, Span, whole_number
from sprnnc.language import syntax as s
from sprnnc.language.codes import Code
from sprnnc.language.report import Report, listed, near_match

MOST_ROWS = 1 << 24  # whole numbers that float32 tells apart


@dataclass(frozen=True, slots=True)
class CheckedLayer:
    """A layer as written, and its cell; None where that has errors of its own."""

    decl: s.LayerDecl
    cell: Cell | None


@dataclass(frozen=True, slots=True)
class Joints:
    """The layers with what they read, and what the model gives."""

    embeddings: tuple[Embedding, ...]
    layers: tuple[NetworkLayer, ...]
    output: Joined


def check_joints(
    model: s.ModelDecl, entry: Stream | None, layers: Sequence[CheckedLayer], report: Report
) -> Joints | None:
    """How ``layers`` are joined; None if anything went into ``report``. ``entry``: the model's input."""
    return _JointsChecker(model, entry, layers, report).run()


@dataclass
class _JointsChecker:
    model: s.ModelDecl
    entry: Stream | None
    layers: Sequence[CheckedLayer]
    report: Report
    sizes: dict[str, int | None] = field(default_factory=dict)  # of streams so far; None after an error
    lines: dict[str, int] = field(default_factory=dict)  # where each was declared
    used: set[str] = field(default_factory=set)
    earlier: dict[str, CheckedLayer] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)  # whose tensors each layer has

    def run(self) -> Joints | None:
        errors_before = len(self.report.diagnostics)
        if not self._says_anything():
            return None
        self._declare_input()
        embeddings = [self._embedding(i) for i in self.model.statements if isinstance(i, s.EmbeddingDecl)]
        made = [self._layer(layer) for layer in self.layers]
        output = self._output()
        if output is not None:
            self._require_uses()
        if output is None or len(self.report.diagnostics) > errors_before:
            return None
        layers = tuple(m for m in made if m is not None)
        return Joints(tuple(e for e in embeddings if e is not None), layers, output)

    # ---- the ends

    def _says_anything(self) -> bool:
        """False, and one error instead of many, where layers stand beside each other and that is all."""
        ends = any(isinstance(i, (s.ModelInputDecl, s.ModelOutputDecl)) for i in self.model.statements)
        if ends or any(layer.decl.reads for layer in self.layers):
            return True
        second = self.layers[-1].decl
        names = listed(layer.decl.name.text for layer in self.layers)
        self._incomplete(
            f"several layers ({names}) and does not say how they are joined",
            f"input x[40], then 'on x' behind the first layer, and so on; output {second.name.text}",
        )
        return False

    def _declare_input(self) -> None:
        inputs = [i for i in self.model.statements if isinstance(i, s.ModelInputDecl)]
        for extra in inputs[1:]:
            self.report.add(
                Code.DUPLICATE, "a second 'input'", extra.span, help="a model of several layers has one"
            )
        if not inputs:
            self._incomplete("no input", "say what it is given: input x[40]")
            return
        self.sizes[inputs[0].name.text] = self.entry.size if self.entry is not None else None
        self.lines[inputs[0].name.text] = inputs[0].span.line

    def _embedding(self, decl: s.EmbeddingDecl) -> Embedding | None:
        name, rows, size = decl.name, whole_number(decl.rows.value), whole_number(decl.size.value)
        self.used.add(decl.reads.text)
        if name.text in self.lines:
            self._taken(name)
            return None
        self.lines[name.text], self.sizes[name.text] = name.span.line, None
        if not (rows and size and 1 <= rows <= MOST_ROWS and 1 <= size <= MOST_ROWS):
            why = f"expected two whole numbers from 1 to {MOST_ROWS}"
            message = f"embedding {name.text}[{decl.rows.value}, {decl.size.value}] is not possible"
            help = "write how many rows its table has, and their size"
            self.report.add(Code.BAD_SIZE, message, name.span, why, help)
            return None
        self.sizes[name.text] = size
        if self.entry is not None and (decl.reads.text, self.entry.size) != (self.entry.name, 1):
            self.report.add(
                Code.STREAM_SIZE,
                f"embedding '{name.text}' cannot read '{decl.reads.text}'",
                decl.reads.span,
                "it reads the model's input, one whole number a step",
                f"write 'input {self.entry.name}[1]' and 'on {self.entry.name}'",
            )
            return None
        return Embedding(name.text, rows, size)

    def _output(self) -> Joined | None:
        outputs = [i for i in self.model.statements if isinstance(i, s.ModelOutputDecl)]
        for extra in outputs[1:]:
            help = "a model has one; put vectors side by side with output [a, b]"
            self.report.add(Code.BAD_OUTPUT, "a second output", extra.span, help=help)
        if not outputs:
            last = self.layers[-1].decl.name.text if self.layers else "a"
            self._incomplete("no output", f"say what it gives: output {last}")
            return None
        return self._joined(outputs[0].value)

    def _incomplete(self, lacks: str, help: str) -> None:
        name = self.model.name
        self.report.add(Code.INCOMPLETE_MODEL, f"model '{name.text}' has {lacks}", name.span, help=help)

    def _require_uses(self) -> None:
        for name, line in self.lines.items():
            if name not in self.used:
                self.report.add(
                    Code.UNUSED,
                    f"'{name}' is never read",
                    self._span_of(name, line),
                    "missing use",
                    "read it with 'on', put it into the output, or remove it",
                )

    def _span_of(self, name: str, line: int) -> Span:
        streams = (s.LayerDecl, s.ModelInputDecl, s.EmbeddingDecl)
        names = [i.name for i in self.model.statements if isinstance(i, streams)]
        return next((n.span for n in names if n.text == name and n.span.line == line), NO_SPAN)

    # ---- layers

    def _layer(self, layer: CheckedLayer) -> NetworkLayer | None:
        decl, cell = layer.decl, layer.cell
        operand = self._operand(decl)
        if operand is not None and cell is not None:
            self._require_input_size(decl, cell, operand)
        weights = self._weights(layer)
        self._declare(layer)
        if operand is None or cell is None or weights is None:
            return None
        return NetworkLayer(decl.name.text, cell, operand, decl.reverse, weights)

    def _declare(self, layer: CheckedLayer) -> None:
        name = layer.decl.name
        if name.text in self.lines and name.text not in self.earlier:
            self._taken(name)
            return
        self.earlier[name.text] = layer
        self.sizes[name.text] = layer.cell.output_space.size if layer.cell is not None else None
        self.lines[name.text] = name.span.line

    def _taken(self, name: s.Name) -> None:
        self.report.add(
            Code.DUPLICATE,
            f"the name '{name.text}' is taken",
            name.span,
            f"already declared in line {self.lines[name.text]}",
            "choose another name: what a layer gives is called as the layer is",
        )

    def _operand(self, decl: s.LayerDecl) -> Joined | None:
        if decl.reads is not None:
            return self._joined(decl.reads)
        known = list(self.sizes)
        self.report.add(
            Code.INCOMPLETE_MODEL,
            f"layer '{decl.name.text}' reads nothing",
            decl.span,
            "expected 'on' at its end",
            f"say what it reads, such as 'on {known[-1] if known else 'x'}'",
        )
        return None

    def _require_input_size(self, decl: s.LayerDecl, cell: Cell, operand: Joined) -> None:
        expected, got = sum(v.space.size for v in cell.inputs), size_of(operand)
        if expected == got or decl.reads is None:
            return
        sizes = ", ".join(f"{v.space.name}={v.space.size}" for v in cell.inputs)
        symbol = cell.inputs[0].space.name
        self.report.add(
            Code.STREAM_SIZE,
            f"layer '{decl.name.text}' reads {got} values a step, and takes {expected} ({sizes})",
            decl.reads.span,
            self._where(operand),
            f"write {symbol}={got}" if len(cell.inputs) == 1 else f"its inputs side by side are {sizes}",
        )

    def _where(self, *joined: Joined) -> str:
        """Every stream with its size and the line it comes from."""
        streams = dict.fromkeys(stream for one in joined for stream in streams_of(one))
        return ", ".join(f"{i.name} (line {self.lines[i.name]}) has {i.size}" for i in streams)

    # ---- shared tensors

    def _weights(self, layer: CheckedLayer) -> str | None:
        decl = layer.decl
        self.owners[decl.name.text] = decl.name.text
        if decl.shares is None:
            return decl.name.text
        other = self.earlier.get(decl.shares.text)
        if other is None:
            self.report.add(
                Code.UNDEFINED,
                f"no layer '{decl.shares.text}' above, whose weights could be shared",
                decl.shares.span,
                help=near_match(decl.shares.text, self.earlier, f"layers above: {listed(self.earlier)}"),
            )
            return None
        if layer.cell is None or other.cell is None:
            return None
        if layer.cell != other.cell:
            self.report.add(
                Code.CANNOT_SHARE,
                f"layer '{decl.name.text}' cannot share the weights of '{decl.shares.text}'",
                decl.shares.span,
                f"'{decl.shares.text}' is {_described(other.cell)} (line {other.decl.span.line}), "
                f"'{decl.name.text}' is {_described(layer.cell)}",
                "layers that share weights have the same cell and sizes",
            )
            return None
        self.owners[decl.name.text] = self.owners[decl.shares.text]
        return self.owners[decl.name.text]

    # ---- what is read

    def _joined(self, written: s.Joined) -> Joined | None:
        match written:
            case s.StreamUse(name=name):
                return self._stream(name)
            case s.StreamSum(terms=several):
                return self._sum([self._joined(i) for i in several], written.span)
            case s.StreamList(parts=several):
                parts = [self._joined(i) for i in several]
                return Concat(tuple(p for p in parts if p is not None)) if None not in parts else None

    def _sum(self, terms: Sequence[Joined | None], span: Span) -> Joined | None:
        known = tuple(t for t in terms if t is not None)
        if len(known) < len(terms):
            return None
        if len(set(map(size_of, known))) > 1:
            self.report.add(
                Code.STREAM_SIZE,
                "streams of different sizes are added",
                span,
                self._where(*known),
                "make their layers the same size, or put them side by side: [a, b]",
            )
            return None
        return Sum(known)

    def _stream(self, name: s.Name) -> Joined | None:
        self.used.add(name.text)
        if name.text not in self.sizes:
            self._unknown(name)
            return None
        size = self.sizes[name.text]
        return None if size is None else Stream(name.text, size)

    def _unknown(self, name: s.Name) -> None:
        """A name that stands for nothing yet: for nothing at all, for a later layer, or for a cycle."""
        reads = {i.decl.name.text: tuple(_names(i.decl.reads)) for i in self.layers}
        if name.text not in reads:
            self.report.add(
                Code.UNDEFINED,
                f"undefined layer '{name.text}'",
                name.span,
                help=near_match(name.text, self.sizes, f"known here: {listed(self.sizes)}"),
            )
            return
        path = _path(name.text, next(r for r in reads if r not in self.sizes), reads)
        if path:
            steps = ", ".join(f"{a} reads {b}" for a, b in zip(path, [*path[1:], path[0]], strict=True))
            self.report.add(
                Code.CYCLE,
                f"layers read each other in a circle: {steps}",
                name.span,
                help="what a layer keeps from step to step is a state of its cell",
            )
            return
        self.report.add(
            Code.READ_BEFORE_DEFINED,
            f"'{name.text}' is read before it is defined",
            name.span,
            f"defined in line {self._line_of(name.text)}",
            f"move layer '{name.text}' above",
        )

    def _line_of(self, layer: str) -> int:
        return next(i.decl.name.span.line for i in self.layers if i.decl.name.text == layer)


def _described(cell: Cell) -> str:
    sizes = dict.fromkeys(s for w in cell.weights for s in (w.cols, w.rows))
    return f"{cell.name}({', '.join(f'{s.name}={s.size}' for s in sizes)})"


def _names(written: s.Joined | None) -> Iterator[str]:
    match written:
        case None:
            return
        case s.StreamUse(name=name):
            yield name.text
        case s.StreamSum(terms=several) | s.StreamList(parts=several):
            for one in several:
                yield from _names(one)


def _path(start: str, end: str, reads: Mapping[str, Sequence[str]]) -> list[str]:
    """The shortest way from one layer to another along what each reads; empty where there is none."""
    ways, seen = [[start]], {start}
    for way in ways:
        if way[-1] == end:
            return way
        for name in reads.get(way[-1], ()):
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []
