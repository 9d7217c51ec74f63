"""The kernels of an export in one source: those of each layer in a namespace, what they share before them."""

from __future__ import annotations

import re

from sprnnc.export.whole import BETWEEN, Whole

_ENTRY = 'extern "C" __global__'
_SECTION = re.compile(r"^(?=// ---- (?:\w+\.cuh|this kernel) -)", re.MULTILINE)
_HELPERS = re.compile(r"// ---- \w+\.cuh ")


def kernel_text(whole: Whole) -> str:
    """CUDA C. Kernels have internal linkage, so that several exports link into one program."""
    if not whole.is_network:
        (kernels,) = whole.kernels.values()
        return _internal(kernels.source)
    layers = {part: _SECTION.split(k.source) for part, k in whole.kernels.items() if part != BETWEEN}
    shared = [s for s in next(iter(layers.values())) if _is_shared(s, layers)]
    texts = [
        "\n".join(["", "// The helpers that all layers use.", "", "".join(shared)]),
        *(_in_namespace(part, sections, shared) for part, sections in layers.items()),
        _joins(whole.kernels[BETWEEN].source),
    ]
    return "\n".join(texts)


def namespace_of(part: str) -> str:
    """Where the kernels of a part are; ``part`` may be a word of C++."""
    return f"layer_{part}" if part != BETWEEN else "between"


def _is_shared(section: str, layers: dict[str, list[str]]) -> bool:
    return bool(_HELPERS.match(section)) and all(section in sections for sections in layers.values())


def _in_namespace(part: str, sections: list[str], shared: list[str]) -> str:
    """All that a layer does not share: two layers may have different functions of one name."""
    own = "".join(s for s in sections if s not in shared)
    where = namespace_of(part)
    return f"namespace {where} {{\nusing namespace sprnn;\n\n{_internal(own)}\n}}  // namespace {where}\n"


def _joins(source: str) -> str:
    own = source.replace(_ENTRY, "[[maybe_unused]] static __global__")
    where = namespace_of(BETWEEN)
    return f"namespace {where} {{\n\n{own}\n}}  // namespace {where}\n"


def _internal(source: str) -> str:
    return source.replace(_ENTRY, "static __global__")
