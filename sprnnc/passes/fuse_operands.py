"""What a fused layer reads: which of it comes from layers of its own kernel, and which from outside."""

from __future__ import annotations

from collections.abc import Iterator

from sprnnc.cell.network import Concat, Joined, Stream, Sum, size_of, streams_of


def parts_of_product(joined: Joined, first: int, inside: set[str]) -> Iterator[tuple[Joined, int]]:
    """What is multiplied by columns of its own, and from which on; the group's border splits a sum."""
    if not any(s.name in inside for s in streams_of(joined)):
        yield joined, first
        return
    match joined:
        case Concat(parts=parts):
            for part in parts:
                yield from parts_of_product(part, first, inside)
                first += size_of(part)
        case Sum(terms=terms) if any(isinstance(n, Concat) for n in terms):
            for term in terms:
                yield from parts_of_product(term, first, inside)
        case Sum(terms=terms):
            outer, inner = _by_place(terms, inside)
            for some in (outer, inner):
                if some:
                    yield _sum(some), first
        case Stream():
            yield joined, first


def outside_first(terms: tuple[Joined, ...], inside: set[str]) -> Iterator[Joined]:
    """``terms``, with those from outside as one."""
    outer, inner = _by_place(terms, inside)
    if outer:
        yield _sum(outer)
    yield from inner


def _by_place(terms: tuple[Joined, ...], inside: set[str]) -> tuple[tuple[Joined, ...], tuple[Joined, ...]]:
    """Those from outside alone, and the others."""
    outer = tuple(t for t in terms if not any(s.name in inside for s in streams_of(t)))
    return outer, tuple(t for t in terms if t not in outer)


def _sum(terms: tuple[Joined, ...]) -> Joined:
    return terms[0] if len(terms) == 1 else Sum(terms)
