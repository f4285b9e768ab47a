"""What ``run-graph`` does about ``--sweep`` and ``--zip``."""

from __future__ import annotations

import json
from argparse import Namespace

from graph.registry import Registry
from runtime.context import Surroundings
from runtime.sources import Source
from runtime.sweep.expansion import Sweep, expand
from runtime.sweep.settings import check_axes, read_axes


def read_sweep(source: Source, arguments: Namespace, registry: Registry, surroundings: Surroundings) -> Sweep:
    """The workflow with all variants that the command line asks for.

    Raises
    ------
    WorkflowError
        If a ``--sweep`` cannot be read or, unless the workflow is only drawn, a value does not fit.
    """
    zipped = arguments.zip
    axes = read_axes(source, arguments.sweep, registry, zipped=zipped)
    if axes and (arguments.validate or not arguments.draw):
        targets = arguments.target or None
        check_axes(source.workflow, axes, registry, targets, surroundings, zipped=zipped)
    return expand(source.workflow, axes, registry, zipped=zipped)


def print_variants(sweep: Sweep, name: str = "") -> None:
    """Before the events, as a line of JSON: each variant's settings, and which nodes are its own.

    ``name`` is that of the workflow, and stands before its nodes' ids, where several run together.
    """
    named, prefix = ({"workflow": name}, f"{name}:") if name else ({}, "")
    variants = [
        {
            "label": variant.label,
            "settings": {
                axis.place: axis.labels[position]
                for axis, position in zip(sweep.axes, variant.choice, strict=True)
            },
            "nodes": {
                node_id: f"{prefix}{copies[number]}"
                for node_id, copies in sweep.copies.items()
                if copies[number] != node_id
            },
        }
        for number, variant in enumerate(sweep.variants)
    ]
    print(json.dumps({"event": "sweep", **named, "variants": variants}, ensure_ascii=False), flush=True)
