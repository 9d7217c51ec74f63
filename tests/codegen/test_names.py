"""Whatever a cell's values are called, the kernel compiles and is right."""

from __future__ import annotations

import numpy as np
import pytest

import sprnnc
from sprnnc.build.nvrtc import build_cubin
from sprnnc.codegen.names import Names
from sprnnc.language.scope import FUNCTION_NAMES

NAMES = """
and and_eq bitand bitor compl not not_eq or or_eq xor xor_eq if do int float double bool true false nullptr
static_cast dynamic_cast reinterpret_cast const_cast noexcept typeid typeof constexpr consteval module concept
requires co_await wchar_t char8_t thread_local static_assert operator signed restrict
NULL EOF errno INFINITY NAN M_PI I_ stdin assert isnan isinf signgam environ unix linux i386 near far
_x _X _Complex __x __LINE__ __FILE_ __FILE__ __COUNTER__ __CUDA_ARCH__ __global__ _start a__b
SPRNN SPRNN_SIM SPRNN_SPIN SPRNN_DYNAMIC_SHARED sprnn sprnn_sim std size_t uint32_t memcpy printf malloc exit
Words Watch Operand Unit UnitH Units Units_ Slot Slot1 Sums FloatSums HalfSums NarrowSlot Source Storage
Float32
kThreads kBatch kLanesH kRowWords kPending kBudgetSpent TILE columns row_words machine spin Index fibers
collect_lamport collect_bulk collect_complete zero_padding publish pending load_words add_lanes
gather_registers
arrive_release exchange_first globaltimer_ns wait_for_copies elect_lane copy_bulk opaque input_product
watch arrived warp lane item place row u t i b k c s g x0 steps status output result gave_up owned unit
position
units_H units_of_H units_ totals_U_h totals_ state_h state_h_ state_ param_b local_a inputs_1 slots_1
exchange_1
operand_1 ahead_1 used_1 product_of_inputs_1 OperandOf_inputs_1 shared_quads_1 h_next h_next_ float_ float__
y0 y1 j0 jn gamma index sin cos sqrt pow clock float4 dim3 warpSize threadIdx blockDim main register
""".split()
KEYWORDS = ("output",)  # which begin a statement of the language
ROLES = ("bias", "input bias", "state", "equation", "weight")
_CELL = """
cell C(I, H) {{
  input  qx[I]
  state  {states}
  weight {weights}
{biases}
{equations}
  output qh'
}}
model m {{ layer l = C(I=3, H=5) }}
"""


def cell(role: str) -> str:
    """A cell in which every one of NAMES plays ``role``."""
    names = [n for n in NAMES if role != "equation" or n not in KEYWORDS]
    total = f"({' + '.join(names)})"
    step = "qh' = tanh(QW @ qx + QU @ qh + "
    equations = {
        "bias": [f"{step}{total})"],
        "input bias": [f"{step}QW @ {total})"],
        "state": [f"{step}qh)", *(f"{n}' = 0.5 * {n} + qh" for n in NAMES)],
        "equation": [*(f"{n} = QU @ qh * 0.25 + qh" for n in names), f"{step}0.01 * {total})"],
        "weight": [f"{step}{' + '.join(f'{n} @ qh' for n in NAMES[:40])})"],
    }
    return _CELL.format(
        states=", ".join(f"{n}[H]" for n in ("qh", *(NAMES if role == "state" else ()))),
        weights=", ".join(["QW[H, I]", "QU[H, H]", *(f"{n}[H, H]" for n in NAMES[:40] if role == "weight")]),
        biases="".join(f"  bias {n}[{'H' if role == 'bias' else 'I'}]\n" for n in NAMES if "bias" in role),
        equations="\n".join(f"  {e}" for e in equations[role]),
    )


@pytest.mark.parametrize("target", ["sim", "sm_90"])
@pytest.mark.parametrize("role", ROLES)
def test_any_name_in_any_role(role: str, target: str) -> None:
    artifact = sprnnc.compile(cell(role), random_weights=1, target="sim")
    if target != "sim":  # so many values spill, which is not the question here
        assert build_cubin(artifact.kernel_source, target).code
        return
    x = np.random.default_rng(0).standard_normal((4, 1, 3)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device="sim", check=True)
    assert run.error is not None and run.error < 1e-5


def test_identifiers_are_unique_and_none_is_a_function_of_the_language() -> None:
    names = Names()
    given = [names(n) for n in (*NAMES, *(f"{n}'" for n in NAMES))]
    assert len(set(given)) == len(given)
    assert not set(NAMES) & set(FUNCTION_NAMES)


def test_names_on_no_list_are_kept() -> None:
    names = Names(["struct Words {};  // alpha"])
    for name in ("h", "i", "bias_f", "alpha", "gamma2", "Wx", "W_x", "tau"):
        assert names(name) == name
    assert names("Words") == "Words_"
