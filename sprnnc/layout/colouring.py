"""Exact edge colouring of many regular bipartite multigraphs at once (Koenig's theorem).

Left nodes are lanes, right nodes are banks, and an edge is a load of that bank by that lane. One
colour is a perfect matching: every lane loads once and no two lanes hit one bank. A graph of degree
D needs exactly D colours. An even degree is halved by an Euler split; from an odd one a perfect
matching is taken off first (Gabow 1976, "Using Euler partitions to edge color bipartite multigraphs").
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, maximum_bipartite_matching

IntArray = NDArray[Any]


def colour_edges(left: IntArray, right: IntArray, degree: int) -> IntArray:
    """Colours 0 to ``degree - 1`` so that edges of one colour share no node.

    ``left`` and ``right`` int [edges] name the ends of each edge; every node has exactly ``degree``
    edges. Disjoint graphs, told apart by their node numbers, are coloured together.
    """
    colour = np.zeros(len(left), np.int32)
    work = [(np.argsort(left, kind="stable"), np.argsort(right, kind="stable"), degree, 0)]
    while work:
        by_left, by_right, size, first = work.pop()
        if size % 2 and len(by_left):
            matched = _perfect_matching(left, right, by_left)
            colour[matched] = first
            taken = np.zeros(len(left), bool)
            taken[matched] = True
            by_left, by_right = by_left[~taken[by_left]], by_right[~taken[by_right]]
            size, first = size - 1, first + 1
        if size == 0 or not len(by_left):
            continue
        second_half = _euler_split(by_left, by_right, len(left))
        for half, start in ((~second_half, first), (second_half, first + size // 2)):
            work.append((by_left[half[by_left]], by_right[half[by_right]], size // 2, start))
    return colour


def _euler_split(by_left: IntArray, by_right: IntArray, edges: int) -> NDArray[np.bool_]:
    """Which edges are in the second half, such that every node has half of its edges in each.

    Edges are paired at each node. Going from an edge to its partner on the left and from there to
    that one's partner on the right walks along an Euler tour two edges at a time: the cycles of this
    permutation come in pairs, one for either half.
    """
    at_left, at_right = _partners(by_left, edges), _partners(by_right, edges)
    chosen = np.zeros(edges, bool)
    number = np.empty(edges, np.int32)
    number[by_left] = np.arange(len(by_left), dtype=np.int32)
    two_steps = number[at_right[at_left[by_left]]]
    pointers = np.arange(len(by_left) + 1, dtype=np.int32)
    ones = np.ones(len(by_left), np.int8)
    graph = csr_array((ones, two_steps, pointers), shape=(len(by_left), len(by_left)))
    _, cycle = connected_components(graph, directed=True, connection="strong")
    chosen[by_left] = cycle > cycle[number[at_left[by_left]]]
    return chosen


def _partners(order: IntArray, edges: int) -> IntArray:
    """Pairs of neighbours in ``order``, where edges of a node lie together: the partner of each edge."""
    partner = np.empty(edges, np.int32)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner


def _perfect_matching(left: IntArray, right: IntArray, by_left: IntArray) -> IntArray:
    """One edge at every node: a regular bipartite graph always has such a set (Koenig)."""
    rows, columns = left[by_left], right[by_left]
    nodes = int(max(rows.max(), columns.max())) + 1
    graph = csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(nodes, nodes))
    match = maximum_bipartite_matching(graph, perm_type="column")
    edges = by_left[match[rows] == columns]
    _, first = np.unique(left[edges], return_index=True)  # one of parallel edges
    matched: IntArray = edges[first]
    return matched
