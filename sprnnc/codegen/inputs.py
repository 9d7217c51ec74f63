"""Input products: one kernel each, with a functor that evaluates the operand at (column, k)."""

from __future__ import annotations

from sprnnc.cell.printer import print_expr
from sprnnc.codegen.expressions import c_expression, offset
from sprnnc.codegen.model import Argument, InputProductModel
from sprnnc.codegen.names import Names
from sprnnc.passes.recurrence import InputProduct, Recurrence


def input_product_model(recurrence: Recurrence, product: InputProduct, names: Names) -> InputProductModel:
    """The kernel of ``product``; see ``InputProduct`` for what its operand may read."""
    offsets, start = {}, 0
    for v in recurrence.cell.inputs:
        offsets[v.name] = start
        start += v.space.size
    earlier = {part.name: (p, part) for p in recurrence.input_products for part in p.parts}
    captured: dict[str, Argument] = {}
    local = {e.target: f"local_{names(e.target)}" for e in product.definitions}

    def read(name: str) -> str:
        if name in local:
            return local[name]
        if name in offsets:
            captured["x"] = Argument("const float*", "input", "x")
            return f"input[(size_t)column * kInput + {offset(offsets[name])}k]"
        if name in earlier:
            stack, part = earlier[name]
            captured[stack.name] = Argument("const float*", stack.name, stack.name)
            return f"{stack.name}[(size_t)column * {stack.row_count} + {offset(part.first_row)}k]"
        parameter = f"param_{names(name)}"  # not the bare name: it may be that of k or the weights
        captured[name] = Argument("const float*", parameter, f"param_{name}")
        return f"{parameter}[k]"

    weights = "; ".join(part.weight for part in product.parts)
    statements = tuple(
        f"const float {local[e.target]} = {c_expression(e.value, read)};" for e in product.definitions
    )
    operand = c_expression(product.operand, read)
    arguments = (
        Argument("const unsigned*", "weight", f"dense_{product.name}"),
        *captured.values(),
        Argument("float*", "product", product.name),
        Argument("int", "batch", "$batch"),
        Argument("int", "steps", "$steps"),
    )
    return InputProductModel(
        kernel=f"product_of_{product.name}",
        functor=f"OperandOf_{product.name}",
        equation=f"{product.name} = [{weights}] @ {print_expr(product.operand)}",
        arguments=arguments,
        captured=tuple(captured.values()),
        statements=statements,
        operand=operand,
        rows=product.row_count,
        cols=product.cols.size,
    )
