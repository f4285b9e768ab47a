"""Whether a worker computes what this machine would: with the same versions, code, device and format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from run_graph.runtime.cluster.messages import WorkerFacts

_FACTS = ("device", "number format", "architecture", "name of the device")


def refusal(own: Mapping[str, Any], worker: WorkerFacts, *, any_device: bool = False) -> str | None:
    """Why a worker cannot be used; None if it can.

    Parameters
    ----------
    own : mapping
        The client's :func:`runtime.cache.environment.environment_facts`.
    worker : WorkerFacts
    any_device : bool
        Whether another device or number format will do.
    """
    if worker.problem is not None:
        return worker.problem
    code, device = list(_code(own, worker.environment)), list(_device(own, worker.environment))
    if not code and (any_device or not device):
        return None
    hint = "" if code else "; --any-device uses it all the same"
    return f"its results would differ from this machine's: {'; '.join([*code, *device])}{hint}"


def other_device(own: Mapping[str, Any], worker: WorkerFacts) -> str | None:
    """What tells results of the worker's device from this machine's; None if they are the same."""
    if not list(_device(own, worker.environment)):
        return None
    return json.dumps([worker.environment["machine"], worker.environment["device"]])


def _code(own: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """What differs in versions and code, in words."""
    here, there = own["versions"], other["versions"]
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name):
            yield f"{name} is {there.get(name, 'missing')} there and {here.get(name, 'missing')} here"
    if own["format"] != other["format"] or (here == there and own["sources"] != other["sources"]):
        yield "run-graph's source code is not the same"


def _device(own: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """What differs in the device and the number format, in words."""
    if own["machine"] != other["machine"]:
        yield f"it runs {' on '.join(other['machine'])}, this machine {' on '.join(own['machine'])}"
    for name, mine, its in zip(_FACTS, own["device"], other["device"], strict=False):
        if mine != its:
            yield f"its {name} is {its}, this machine's {mine}"
