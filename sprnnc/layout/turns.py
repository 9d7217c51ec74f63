"""Which of a tile's loads each lane makes first.

The loads of a tile lie side by side, so that lanes which all began with the first of theirs would meet in
every ``tile.loads``-th bank. A lane that makes its load ``first ^ turn`` in turn 0, 1, ... reads all of
them as well, and lanes whose first loads have different banks have different ones in every turn, because
``bank ^ turn`` is a permutation of the banks. So the tiles of a load group are dealt to the banks that
their loads lie in, each a first load of its own.
"""

from __future__ import annotations

import numpy as np

from sprnnc.layout.evening import load_groups
from sprnnc.layout.lanes import place_in_run
from sprnnc.layout.options import BankOrder, LayoutOptions
from sprnnc.layout.partition import IntArray
from sprnnc.layout.rows import Rows


def first_loads(rows: Rows, start: IntArray, options: LayoutOptions) -> IntArray:
    """The load int32 that each tile begins with, of those from ``start`` on; plain order takes that one."""
    loads = options.tile.loads
    if loads == 1 or options.bank_order is BankOrder.PLAIN:
        return start
    group, _ = load_groups(rows, options.together)
    met = group * np.int64(options.together) + start % options.together  # tiles that lie in the same banks
    first: IntArray = start + (place_in_run(met, np.lexsort((start, met))) % loads).astype(np.int32)
    return first
