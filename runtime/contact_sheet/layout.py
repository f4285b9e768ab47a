"""Where each picture goes on a contact sheet, and its labels. No painting.

The first swept input runs along the columns, all others down the rows, the second outermost. A single
swept input with many values is split into bands, like the lines of a paragraph.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

LONGEST_SINGLE_ROW = 6

Cell = TypeVar("Cell")
Labels = tuple[str, ...]


@dataclass(frozen=True)
class Row(Generic[Cell]):
    """Pictures side by side. ``labels`` has one entry for each swept input that runs down the rows."""

    labels: Labels
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Band(Generic[Cell]):
    """Rows under one line of column labels (none if nothing was swept)."""

    columns: Labels
    rows: tuple[Row[Cell], ...]


def arrange(dimensions: Sequence[Labels], cells: Mapping[tuple[int, ...], Cell]) -> list[Band[Cell]]:
    """Lay out a picture for each combination of labels.

    Parameters
    ----------
    dimensions : sequence of tuples of str
        The labels along each dimension; each dimension has at least one.
    cells : mapping
        The picture of each combination, by the positions of its labels.
    """
    if not dimensions:
        return [Band((), (Row((), (cells[()],)),))]
    columns, *down = dimensions
    if not down:
        return _wrapped(columns, cells)
    rows = tuple(
        Row(
            tuple(labels[i] for labels, i in zip(down, place, strict=True)),
            tuple(cells[(column, *place)] for column in range(len(columns))),
        )
        for place in itertools.product(*(range(len(labels)) for labels in down))
    )
    return [Band(columns, rows)]


def _wrapped(columns: Labels, cells: Mapping[tuple[int, ...], Cell]) -> list[Band[Cell]]:
    count = len(columns)
    width = count if count <= LONGEST_SINGLE_ROW else max(LONGEST_SINGLE_ROW - 1, math.ceil(math.sqrt(count)))
    bands = []
    for start in range(0, count, width):
        part = range(start, min(start + width, count))
        bands.append(Band(tuple(columns[i] for i in part), (Row((), tuple(cells[(i,)] for i in part)),)))
    return bands
