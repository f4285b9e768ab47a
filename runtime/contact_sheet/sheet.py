"""``--contact-sheet FILE.png``: the pictures of a run in one labelled grid.

Pictures are taken from the run's events as they finish and are reduced at once, so that a sheet of many
large pictures needs little memory and no file is read back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from run_graph.graph.declaration import outputs_of
from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.forwarding import followed
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.contact_sheet.layout import Labels, arrange
from run_graph.runtime.contact_sheet.painting import paint
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.provenance import carried_documents, describe_run
from run_graph.runtime.events import Event, NodeFinished, NodeReused
from run_graph.runtime.files.outputs import OWN_MARK
from run_graph.runtime.files.recorded_names import shareable
from run_graph.runtime.images.metadata import as_text
from run_graph.runtime.images.reading import ImageError, read
from run_graph.runtime.images.writing import png
from run_graph.runtime.sweep.expansion import Sweep
from run_graph.runtime.sweep.labels import input_names
from run_graph.runtime.values import Image as ImageValue
from run_graph.runtime.values import eight_bit, unit

LARGEST_PICTURE = 512  # pixels a side
MOST_PIXELS = 48_000_000  # in all pictures of a sheet


class Place(NamedTuple):
    """Where a picture comes from: a node's output in the expanded workflow."""

    node_id: str
    output: str


class ContactSheet:
    """A listener that collects a run's pictures and lays them out when the run is over.

    If a run need not make a picture, because an interrupted run has saved it already, the file is read.

    Parameters
    ----------
    sweep : Sweep
        What is run. Without axes, each output node gets a column.
    registry : Registry
    targets : sequence of str, optional
        Ids in the original workflow. The sheet shows the pictures that they make or, if they make none (as
        SaveImage), the pictures that they are given. Default: all output nodes.

    Raises
    ------
    WorkflowError
        If no target makes a picture or is given one.
    """

    def __init__(self, sweep: Sweep, registry: Registry, targets: Sequence[str] | None = None) -> None:
        self._sweep = sweep
        self._registry = registry
        wanted = list(targets) if targets else _output_nodes(sweep, registry)
        self._names, self._cells = _cells(sweep, registry, wanted)
        if not self._names:
            fix = "Name a target that makes a picture, or leave the contact sheet out."
            raise WorkflowError([Fault("no_pictures", "there is no picture to put on a contact sheet", fix)])
        self._side = min(LARGEST_PICTURE, math.isqrt(MOST_PIXELS // len(self._cells)))
        self._wanted = {place.node_id for place in self._cells.values()}
        self._savers = _savers(sweep, registry, wanted)
        self._pictures: dict[Place, Image.Image] = {}
        self._seconds: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Take a finished node's pictures."""
        if isinstance(event, NodeFinished):
            self._seconds[event.node_id] = event.seconds
        if isinstance(event, NodeReused) and event.node_id in self._savers:
            self._read_back(self._savers[event.node_id], event.result)
        if not isinstance(event, NodeFinished | NodeReused) or event.node_id not in self._wanted:
            return
        outputs = event.outputs()
        for name, value in vars(outputs).items() if outputs is not None else ():
            if isinstance(value, ImageValue):
                self._pictures[Place(event.node_id, name)] = reduced(value, self._side)

    def _read_back(self, place: Place, result: Mapping[str, Any]) -> None:
        if place in self._pictures or not isinstance(result.get("path"), str):
            return
        with suppress(ImageError, OSError):  # if it is not a picture, its field stays empty
            samples, _ = read(Path(result["path"]))
            self._pictures[place] = reduced(ImageValue(unit(samples)), self._side)

    def encoded(self, as_run: Workflow, environment: RunEnvironment, folder: Path) -> bytes:
        """The sheet as a PNG file for a folder, which contains the swept workflow, ``as_run``.

        `run-graph SHEET.png` makes all its pictures again.
        """
        cells = {index: self._pictures.get(place) for index, place in self._cells.items()}
        sheet = paint(arrange(self._dimensions(), cells))
        editor = carried_documents(as_run, self._registry, environment)
        provenance = describe_run(as_run, environment, self._seconds, editor)
        documents = provenance.pop("documents") | {"prompt": provenance.pop("prompt")}
        documents["run_graph"] = {"sweep": self._swept(), **provenance}
        return png(sheet, {"Software": OWN_MARK, **as_text(shareable(documents, folder))})

    def _dimensions(self) -> list[Labels]:
        axes = self._sweep.axes
        names = input_names([(axis.node_id, axis.input) for axis in axes])
        labels = [
            tuple(f"{name} = {label}" for label in axis.labels)
            for name, axis in zip(names, axes, strict=True)
        ]
        if self._sweep.zipped and labels:
            labels = [tuple(", ".join(together) for together in zip(*labels, strict=True))]
        return [*labels, self._names] if len(self._names) > 1 else labels

    def _swept(self) -> list[dict[str, Any]]:
        return [
            {"node": axis.node_id, "input": axis.input, "values": list(axis.labels)}
            for axis in self._sweep.axes
        ]


def reduced(image: ImageValue, side: int) -> Image.Image:
    """A picture of at most ``side`` pixels a side; pictures of a batch go side by side."""
    pixels = np.concatenate(list(image.samples), axis=1)
    picture = Image.fromarray(eight_bit(np.nan_to_num(pixels)))
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _output_nodes(sweep: Sweep, registry: Registry) -> list[str]:
    return [
        node_id
        for node_id, copies in sweep.copies.items()
        if (node_class := registry.get(sweep.workflow.nodes[copies[0]].class_type)) and node_class.is_output
    ]


def _cells(
    sweep: Sweep, registry: Registry, targets: Sequence[str]
) -> tuple[Labels, Mapping[tuple[int, ...], Place]]:
    """The names of a variant's pictures, and where each cell's picture comes from.

    A cell's index is the variant's position on each dimension and, if a variant has several pictures, the
    picture's number.
    """
    named = [
        [
            (target, place)
            for target in targets
            for place in _places(sweep, registry, sweep.copies[target][number])
        ]
        for number in range(len(sweep.variants))
    ]
    names = tuple(target for target, _ in named[0])
    cells: dict[tuple[int, ...], Place] = {}
    for number, variant in enumerate(sweep.variants):
        index = (number,) if sweep.zipped else variant.choice
        for picture, (_, place) in enumerate(named[number]):
            cells[(*index, picture) if len(names) > 1 else index] = place
    return names, cells


def _savers(sweep: Sweep, registry: Registry, targets: Sequence[str]) -> dict[str, Place]:
    """The picture that each node saves, for the nodes that make none and are given one."""
    found = {}
    for node_id in (copy for target in targets for copy in sweep.copies[target]):
        places = list(_places(sweep, registry, node_id))
        if len(places) == 1 and places[0].node_id != node_id:
            found[node_id] = places[0]
    return found


def _places(sweep: Sweep, registry: Registry, node_id: str) -> Iterator[Place]:
    """The pictures that a node makes or, if it makes none, those that it is given."""
    made = list(_pictures_of(sweep, registry, node_id))
    if made:
        yield from (Place(node_id, name) for _, name in made)
        return
    for _, given in sweep.workflow.nodes[node_id].links():
        link = followed(sweep.workflow, registry, given)
        for slot, name in _pictures_of(sweep, registry, link.node_id):
            if link.slot in (slot, name):
                yield Place(link.node_id, name)


def _pictures_of(sweep: Sweep, registry: Registry, node_id: str) -> Iterator[tuple[int, str]]:
    spec = sweep.workflow.nodes.get(node_id)
    node_class = registry.get(spec.class_type) if spec is not None else None
    for output in outputs_of(node_class) if node_class is not None else ():
        if output.socket == ImageValue.socket_type and not output.forwards:
            yield output.slot, output.name
