"""Cell IR as text, in the language itself: what is printed for a model parses and checks to it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sprnnc.cell.ir import (
    Binary,
    BinaryOp,
    Cell,
    Expr,
    MatVec,
    Model,
    Number,
    Ref,
    ScheduleEntry,
    Space,
    Unary,
    UnaryOp,
    Vector,
    walk,
)
from sprnnc.cell.network import Network, NetworkLayer, print_joined

_SUM, _PRODUCT, _FACTOR, _ATOM = range(4)  # how tightly an expression binds
_PRECEDENCE = {
    BinaryOp.ADD: _SUM,
    BinaryOp.SUB: _SUM,
    BinaryOp.MUL: _PRODUCT,
    BinaryOp.DIV: _PRODUCT,
}


def print_model(model: Model) -> str:
    """The cell, the model block and the schedule block."""
    cell = model.cell
    sizes = ", ".join(f"{s.name}={s.size}" for s in _spaces(cell))
    lines = [
        print_cell(cell),
        "",
        f"model {model.name} {{",
        f"  layer {model.layer} = {cell.name}({sizes})",
        f"  dtype {model.dtype.value}",
        f"  accumulate {model.accumulate.value}",
        "}",
        *_schedule(model.schedule),
    ]
    return "\n".join(lines)


def print_network(network: Network) -> str:
    """The cells, the model block and the schedule block."""
    cells = {layer.cell.name: layer.cell for layer in network.layers}
    lines = [f"{print_cell(cell)}\n" for cell in cells.values()]
    lines += [
        f"model {network.name} {{",
        f"  input {network.input.name}[{network.input.size}]",
        *(f"  embedding {e.name}[{e.rows}, {e.size}] on {network.input.name}" for e in network.embeddings),
        *(f"  {_layer(layer)}" for layer in network.layers),
        f"  output {print_joined(network.output)}",
        f"  dtype {network.dtype.value}",
        f"  accumulate {network.accumulate.value}",
        "}",
        *_schedule(network.schedule),
    ]
    return "\n".join(lines)


def _layer(layer: NetworkLayer) -> str:
    sizes = ", ".join(f"{s.name}={s.size}" for s in _spaces(layer.cell))
    words = [f"layer {layer.name} = {layer.cell.name}({sizes})"]
    words += [f"shares {layer.weights}"] if layer.weights != layer.name else []
    words += ["reverse"] if layer.reverse else []
    return " ".join([*words, "on", print_joined(layer.operand)])


def print_cell(cell: Cell) -> str:
    """Declarations, equations with the space of each as a comment, output."""
    spaces = _spaces(cell)
    body = [
        "# " + ", ".join(f"{s.name} = {s.size}" for s in spaces),
        *_declaration("input", cell.inputs),
        *_declaration("state", cell.states),
        *(f"weight {w.name}[{w.rows.name}, {w.cols.name}]  {w.pattern.describe()}" for w in cell.weights),
        *_declaration("bias", cell.params),
        *(f"const {name} = {value!r}" for name, value in _constants(cell).items()),
        "",
        *(f"{e.target} = {print_expr(e.value)}  # [{e.space.name}]" for e in cell.equations),
        f"output {print_expr(cell.output)}  # [{cell.output_space.name}]",
    ]
    header = f"cell {cell.name}({', '.join(s.name for s in spaces)}) {{"
    return "\n".join([header, *(f"  {line}".rstrip() for line in body), "}"])


def print_expr(expr: Expr) -> str:
    """``expr`` in the language, with the fewest parentheses that keep its tree."""
    return _print(expr, _SUM)


def _print(expr: Expr, context: int) -> str:
    """``expr`` in a place that needs at least the binding strength ``context``."""
    match expr:
        case Number(value=value, name=name):
            return name or _atom(repr(value), _FACTOR if repr(value).startswith("-") else _ATOM, context)
        case Ref(name=name):
            return name
        case Unary(op=UnaryOp.NEG, a=a):
            return _atom(f"-{_print(a, _FACTOR)}", _FACTOR, context)
        case Unary(op=op, a=a):
            return f"{op.value}({_print(a, _SUM)})"
        case Binary(op=op, a=a, b=b) if op in _PRECEDENCE:
            own = _PRECEDENCE[op]
            return _atom(f"{_print(a, own)} {op.value} {_print(b, own + 1)}", own, context)
        case Binary(op=op, a=a, b=b):
            return f"{op.value}({_print(a, _SUM)}, {_print(b, _SUM)})"
        case MatVec(weight=weight, operand=operand):
            return _atom(f"{weight} @ {_print(operand, _FACTOR)}", _FACTOR, context)


def _atom(text: str, strength: int, context: int) -> str:
    return text if strength >= context else f"({text})"


def _declaration(keyword: str, vectors: Iterable[Vector]) -> Iterator[str]:
    listed = ", ".join(f"{v.name}[{v.space.name}]" for v in vectors)
    if listed:
        yield f"{keyword} {listed}"


def _expressions(cell: Cell) -> Iterator[Expr]:
    for equation in cell.equations:
        yield from walk(equation.value)
    yield from walk(cell.output)


def _constants(cell: Cell) -> dict[str, float]:
    return {n.name: n.value for n in _expressions(cell) if isinstance(n, Number) and n.name}


def _spaces(cell: Cell) -> tuple[Space, ...]:
    """Every space of ``cell``, in the order in which its declarations name them."""
    spaces = [v.space for v in (*cell.inputs, *cell.states)]
    spaces += [space for w in cell.weights for space in (w.rows, w.cols)]
    spaces += [v.space for v in cell.params]
    return tuple(dict.fromkeys(spaces))


def _schedule(entries: Iterable[ScheduleEntry]) -> list[str]:
    lines = [f"  {e.name} = {_schedule_value(e.value)}" for e in entries]
    return ["", "schedule {", *lines, "}"] if lines else []


def _schedule_value(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
