"""Whether a worker computes what this machine would: with the same versions, code, device and format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from run_graph.runtime.cluster.messages import WorkerFacts

_DEVICE = ("device", "number format", "architecture", "name of the device")


def refusal(own: Mapping[str, Any], worker: WorkerFacts) -> str | None:
    """Why a worker cannot be used; None if it can.

    Parameters
    ----------
    own : mapping
        The client's :func:`runtime.cache.environment.environment_facts`.
    worker : WorkerFacts
    """
    if worker.problem is not None:
        return worker.problem
    found = list(_differences(own, worker.environment))
    return f"its results would differ from this machine's: {'; '.join(found)}" if found else None


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """What differs, in words."""
    here, there = own["versions"], other["versions"]
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name):
            yield f"{name} is {there.get(name, 'missing')} there and {here.get(name, 'missing')} here"
    if own["format"] != other["format"] or (here == there and own["sources"] != other["sources"]):
        yield "run-graph's source code is not the same"
    if own["machine"] != other["machine"]:
        yield f"it runs {' on '.join(other['machine'])}, this machine {' on '.join(own['machine'])}"
    for name, mine, its in zip(_DEVICE, own["device"], other["device"], strict=False):
        if mine != its:
            yield f"its {name} is {its}, this machine's {mine}"
