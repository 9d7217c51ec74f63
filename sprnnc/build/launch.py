"""Pass 9, first half: what the runtime must allocate, upload and launch for a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Ref
from sprnnc.codegen.model import Argument, KernelModel
from sprnnc.layout.layout import Layout
from sprnnc.layout.packing import pack_dense
from sprnnc.passes.recurrence import InputProduct, Recurrence
from sprnnc.schedule.choices import Exchange, InputProducts
from sprnnc.schedule.plan import Plan
from sprnnc.schedule.slot_words import pack_slots
from sprnnc.target import Target

Array = NDArray[Any]
INPUT_PRODUCT_THREADS = 256
INPUT_PRODUCT_SHARED_BYTES = 2 * 16 * 68 * 4  # two tiles of 16 padded lines
_STATUS_WORDS = 8


@dataclass(frozen=True, slots=True)
class Launch:
    """Buffers and kernels as plain data for the manifest, and the constants they name."""

    buffers: list[dict[str, Any]]
    kernels: list[dict[str, Any]]
    packed: dict[str, Array]


def describe_launch(
    recurrence: Recurrence,
    plan: Plan,
    layout: Layout,
    weights: Mapping[str, NDArray[np.float32]],
    kernel: KernelModel,
    target: Target,
) -> Launch:
    """Every buffer that an argument of ``kernel`` is bound to, and the kernels in launch order."""
    packed = _constants(recurrence, plan, layout, weights)
    arguments = [*kernel.arguments, *(a for p in kernel.input_products for a in p.arguments)]
    arguments += [a for k in kernel.joined_operands for a in k.arguments]
    used = {a.buffer.partition("@")[0] for a in arguments}
    packed = {name: array for name, array in packed.items() if name in used}
    by_block = {n for p in plan.phases for n in (f"slots_{p.index}", f"used_{p.index}")}
    by_block |= {f"units_{space.name}" for space in recurrence.spaces}
    buffers = [b for b in _buffers(recurrence, plan) if b["name"] in used]
    buffers += [
        {
            "name": n,
            "role": "constant",
            "dtype": str(a.dtype),
            "shape": list(a.shape),
            "member": f"packed/{n}.npy",
            "split": n in by_block,
        }
        for n, a in packed.items()
    ]
    kernels = [
        _kernel(
            p.kernel, 4 * target.sms, INPUT_PRODUCT_THREADS, INPUT_PRODUCT_SHARED_BYTES, False, p.arguments
        )
        | _gemm(recurrence, product, plan)
        for p, product in zip(kernel.input_products, recurrence.input_products, strict=True)
    ]
    kernels += [
        _kernel(k.kernel, 4 * target.sms, INPUT_PRODUCT_THREADS, 0, False, k.arguments)
        for k in kernel.joined_operands
    ]
    choices = plan.choices
    kernels.append(
        _kernel(
            "recurrence",
            choices.blocks.value,
            choices.threads.value,
            plan.shared_bytes,
            bool(plan.phases),
            kernel.arguments,
        )
    )
    return Launch(buffers, kernels, packed)


def _kernel(
    name: str, grid: int, block: int, shared_bytes: int, cooperative: bool, arguments: tuple[Argument, ...]
) -> dict[str, Any]:
    return {
        "name": name,
        "grid": grid,
        "block": block,
        "shared_bytes": shared_bytes,
        "cooperative": cooperative,
        "args": [a.buffer for a in arguments],
    }


def _gemm(recurrence: Recurrence, product: InputProduct, plan: Plan) -> dict[str, Any]:
    """What a library may compute instead of the kernel: a product of one whole input, as it comes."""
    first = 0
    for v in recurrence.cell.inputs:
        if isinstance(product.operand, Ref) and product.operand.name == v.name:
            break
        first += v.space.size
    else:
        return {}
    if plan.choices.input_products.value is InputProducts.KERNEL:
        return {}
    return {
        "gemm": {
            "weight": f"dense_{product.name}",
            "operand": "x",
            "product": product.name,
            "rows": product.row_count,
            "cols": product.cols.size,
            "first": first,
            "stride": sum(v.space.size for v in recurrence.cell.inputs),
        }
    }


def _buffers(recurrence: Recurrence, plan: Plan) -> list[dict[str, Any]]:
    cell, b = recurrence.cell, plan.batch
    inputs = sum(v.space.size for v in cell.inputs)

    def buffer(name: str, role: str, shape: list[Any], dtype: str = "float32", **more: Any) -> dict[str, Any]:
        return {"name": name, "role": role, "dtype": dtype, "shape": shape, **more}

    buffers = [
        buffer("x", "input", ["T", b, inputs]),
        buffer("y", "output", ["T", b, recurrence.output_space.size]),
    ]
    buffers.append(buffer("lengths", "lengths", [b], "int32"))
    buffers.append(buffer("resets", "resets", ["T", b], "uint8"))
    buffers += [buffer(f"state_{s.name}", "state", [b, s.space.size], state=s.name) for s in cell.kept_states]
    buffers += [
        buffer(p.name, "scratch", ["T", b, p.row_count], fill=None) for p in recurrence.input_products
    ]
    every = f"T+{cell.output_lag}" if cell.output_lag else "T"
    fill = "ones" if plan.choices.exchange.value is Exchange.LAMPORT else None
    buffers += [
        buffer(f"exchange_{p.index}", "scratch", [every, plan.exchange_bytes(p) // 4], "uint32", fill=fill)
        for p in plan.exchanges
    ]
    if plan.joined:
        words = plan.exchange_bytes(plan.joined) // 4
        buffers.append(buffer(f"joined_{plan.joined.index}", "scratch", ["T", words], "uint32", fill=None))
    buffers.append(buffer("arrivals", "scratch", [1], "uint32", fill="zeros"))
    buffers.append(buffer("status", "status", [_STATUS_WORDS], "uint32", fill="zeros"))
    return buffers


def _constants(
    recurrence: Recurrence, plan: Plan, layout: Layout, weights: Mapping[str, NDArray[np.float32]]
) -> dict[str, Array]:
    packed: dict[str, Array] = {}
    for joined in recurrence.joined_products:
        assert recurrence.joined
        first = np.int32(recurrence.joined.first_column(joined.vector))
        packed[f"places_{joined.name}"] = first + layout.partition.spaces[joined.cols.name].position
    for phase, planned in zip(layout.phases, plan.phases, strict=True):
        if phase.slots:
            packed[f"slots_{phase.index}"] = pack_slots(phase, planned, plan.slot_format)
            packed[f"used_{phase.index}"] = phase.used.astype(np.int32)
    for space in recurrence.spaces:
        unit = layout.placements[space.name].unit[:, :, : plan.choices.warps]
        position = np.where(unit >= 0, layout.partition.spaces[space.name].position[unit], 0)
        packed[f"units_{space.name}"] = np.stack([unit, position], axis=1).astype(np.int32)
    for product in recurrence.input_products:
        stacked = np.concatenate([weights[part.weight] for part in product.parts])
        packed[f"dense_{product.name}"] = pack_dense(stacked, plan.dtype)
    for param in recurrence.cell.params:
        packed[f"param_{param.name}"] = weights[param.name].astype(np.float32)
    return packed
