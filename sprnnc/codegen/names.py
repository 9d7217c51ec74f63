"""C identifiers for the names of a cell: readable, unique, and never one that means something already.

A name is kept unless it might clash. What might: words of C++, words of the helpers and templates
that the kernel is made of, names of the shapes that macros and this generator use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

# Keywords and alternative tokens of C++20 and CUDA, macros in lower case, and names that lower.py, units.py
# and inputs.py spell themselves.
_RESERVED = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t
    class co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue
    decltype default delete do double dynamic_cast else enum explicit export extern false final float for
    friend goto if import inline int long module mutable namespace new noexcept not not_eq nullptr operator
    or or_eq override private protected public register reinterpret_cast requires restrict return short
    signed sizeof static static_assert static_cast struct switch template this thread_local throw true try
    typedef typeid typename typeof union unsigned using virtual void volatile wchar_t while xor xor_eq
    assert defined errno far i386 linux major makedev minor near offsetof setjmp signgam size_t stderr stdin
    stdout unix warpSize
    sigmoid hyperbolic_tangent exponential relu softplus minimum maximum logf fabsf expf tanhf log1pf
    gather_registers gather_shared gather_streamed collect_bulk collect_lamport collect_complete
    addressed arrivals batch batch_column budget_ns column ends first index input item lane lengths main
    meanwhile operand output owned position product recurrence result row running shared slot status steps
    sums t u unit units warp weight
    threadIdx blockIdx blockDim gridDim sprnn sprnn_sim std
    """.split()
)
# Beginnings that this generator puts before the name of a value, a space or a number.
_GENERATED = """
    OperandOf_ Slot Unit address_ ahead_ arrivals_ at_ copies_of_ exchange_ inputs_ joined_ kLanes local_
    next_ operand_ parity_ param_ place_ product_of_ quads_ register_ running_ shared_ slots_ state_
    status_on_ stop_ streamed_ totals_ units_ used_
""".split()
_CONSTANT = re.compile(r"k[A-Z]")
_MACRO = re.compile(r"[A-Z][A-Z0-9_]{2,}")
_WORD = re.compile(r"\b[A-Za-z]\w{2,}")  # shorter ones are locals of helpers, which no other name reaches
_NOT_CODE = re.compile(r"//[^\n]*|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


class Names:
    """Gives every name of the cell one C identifier. ``helpers``: texts that the kernel includes."""

    def __init__(self, helpers: Iterable[str] = ()) -> None:
        self._reserved = _RESERVED | _template_words() | words_of("\n".join(helpers))
        self._given: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The identifier of ``name``: ``h'`` is ``h_next``; a reserved word gets an underscore."""
        if name not in self._given:
            wanted = self._safe(name.replace("'", "_next"))
            while wanted in self._given.values():
                wanted += "_"
            self._given[name] = wanted
        return self._given[name]

    def _safe(self, name: str) -> str:
        if name.startswith(("_", *_GENERATED)):  # after such a beginning no ending is safe
            return f"v_{name}"
        if name in self._reserved or _CONSTANT.match(name) or _MACRO.fullmatch(name):
            return f"{name}_"
        return name


def words_of(text: str) -> frozenset[str]:
    """Identifiers of C or template ``text``, without its comments and tags."""
    return frozenset(_WORD.findall(_NOT_CODE.sub(" ", text)))


@cache
def _template_words() -> frozenset[str]:
    folder = files("sprnnc.templates")
    templates = [f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name.endswith(".j2")]
    return words_of("\n".join(templates))
