"""What is made of inputs before the loop: a kernel each, with a functor that evaluates it at (column, k)."""

from __future__ import annotations

from sprnnc.cell.printer import print_expr
from sprnnc.codegen.expressions import c_expression, offset
from sprnnc.codegen.model import Argument, InputProductModel, JoinedOperandModel, OperandModel
from sprnnc.codegen.names import Names
from sprnnc.passes.recurrence import InputProduct, Phase, Recurrence


def input_product_model(recurrence: Recurrence, product: InputProduct, names: Names) -> InputProductModel:
    """The kernel of ``product``."""
    operand = _operand(recurrence, product, names)
    weights = "; ".join(part.weight for part in product.parts)
    arguments = (
        Argument("const unsigned*", "weight", f"dense_{product.name}"),
        *operand.captured,
        Argument("float*", "product", product.name),
        Argument("int", "batch", "$batch"),
        Argument("int", "steps", "$steps"),
    )
    return InputProductModel(
        kernel=f"product_of_{product.name}",
        equation=f"{product.name} = [{weights}] @ {print_expr(product.operand)}",
        arguments=arguments,
        operand=operand,
        rows=product.row_count,
        cols=product.cols.size,
    )


def joined_operand_model(
    recurrence: Recurrence, phase: Phase, product: InputProduct, names: Names
) -> JoinedOperandModel:
    """The kernel that lays out the operand of ``product``, which ``phase`` multiplies in the loop."""
    operand = _operand(recurrence, product, names)
    arguments = (
        Argument("const int*", "places", f"places_{product.name}"),
        *operand.captured,
        Argument("unsigned*", "laid_out", f"joined_{phase.index}"),
        Argument("int", "batch", "$batch"),
        Argument("int", "steps", "$steps"),
    )
    return JoinedOperandModel(
        kernel=f"operand_of_{product.name}",
        equation=f"{product.name} = {print_expr(product.operand)}",
        arguments=arguments,
        operand=operand,
        cols=product.cols.size,
        length=f"kLength{phase.index}",
    )


def _operand(recurrence: Recurrence, product: InputProduct, names: Names) -> OperandModel:
    """The operand's functor; see ``InputProduct`` for what it may read."""
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

    statements = tuple(
        f"const float {local[e.target]} = {c_expression(e.value, read)};" for e in product.definitions
    )
    value = c_expression(product.operand, read)
    return OperandModel(f"OperandOf_{product.name}", tuple(captured.values()), statements, value)
