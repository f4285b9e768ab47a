"""Whether pictures fit into memory, judged before they are made."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from run_graph.runtime.device import machine_memory
from run_graph.runtime.units import bytes_text

SHARE_OF_MEMORY = 0.5
"""The share of the machine's memory that one node's pictures may take."""

_BYTES_PER_SAMPLE = 4


def require_room(shape: Sequence[int], units: str = "pixels") -> None:
    """Raise ValueError if a float32 array of this shape, ``(B, H, W, ...)``, takes too much memory.

    `units` are those of the sides.
    """
    needed = _BYTES_PER_SAMPLE * prod(shape)
    if needed > SHARE_OF_MEMORY * machine_memory():
        batch, height, width = shape[:3]
        count = "a picture" if batch == 1 else f"{batch:,} pictures"
        raise ValueError(
            f"{count} of {width:,} x {height:,} {units} would take {bytes_text(needed)}, more than half of "
            "this machine's memory; ask for fewer or smaller ones"
        )
