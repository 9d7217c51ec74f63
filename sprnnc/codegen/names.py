"""C identifiers for the names of a cell."""

from __future__ import annotations

# Keywords of CUDA C++, functions that kernels call, and names that the templates use.
_RESERVED = frozenset(
    """
    alignas alignof and asm auto bool break case catch char class const constexpr continue decltype
    default delete do double else enum explicit extern false float for friend goto if inline int long
    mutable namespace new not nullptr operator or private protected public register return short
    signed sizeof static struct switch template this throw true try typedef typename union unsigned
    using virtual void volatile while xor size_t
    sigmoid hyperbolic_tangent exponential relu softplus minimum maximum logf fabsf expf tanhf log1pf
    publish pending column gather_registers gather_shared gather_streamed gather_quad add_lanes load_words
    keep_packed opaque pause_cycles collect_bulk collect_lamport collect_complete high_half_twice prefetch_l2 result gave_up sprnn min max
    recurrence steps budget_ns status arrivals shared lane warp item index row t u sums slot arrived
    unit position batch_column owned output Slot Sums Storage
    threadIdx blockIdx blockDim gridDim warpSize main
    """.split()
)
_GENERATED = (
    "inputs_",
    "slots_",
    "operand_",
    "totals_",
    "exchange_",
    "units_",
    "register_",
    "shared_",
    "state_",
    "at_",
    "used_",
    "address_",
    "stop_",
    "ahead_",
    "arrivals_",
    "parity_",
    "streamed_",
)


class Names:
    """Gives every name of the cell one C identifier, readable and unique."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The identifier of ``name``: ``h'`` is ``h_next``; a reserved word gets an underscore."""
        if name not in self._given:
            wanted = name.replace("'", "_next")
            while wanted in _RESERVED or wanted in self._given.values() or _looks_generated(wanted):
                wanted += "_"
            self._given[name] = wanted
        return self._given[name]


def _looks_generated(name: str) -> bool:
    if name.endswith("_"):
        return False
    if len(name) > 1 and name[0] == "k" and name[1].isupper():
        return True
    return any(name.startswith(prefix) for prefix in _GENERATED)
