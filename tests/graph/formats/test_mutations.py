"""Damaged files, of the editor and of the API: a clear fault or a workflow, soon, and in bounded memory.

The environment variable ``RUN_GRAPH_MUTATIONS`` says how many are tried, 1000 for instance; by default a few.
"""

import json
import os
import random
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

from editor_samples import DATA, SCHEMAS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from run_graph.graph import Registry, Workflow, WorkflowError, parse_workflow, validate
from run_graph.graph.formats.editor.conversion import convert
from run_graph.graph.formats.editor.reading import is_editor_file
from run_graph.nodes import NODES

COUNT = int(os.environ.get("RUN_GRAPH_MUTATIONS", "60"))
SECONDS, BYTES = 20, 200 * 2**20
REGISTRY = Registry(NODES)

_CASES = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))
_SMALL = [case for name, case in _CASES.items() if not name.startswith(("order", "short"))]
_CORPUS = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((DATA / "corpus").glob("*.json"))]
FILES = [*_CORPUS, *(case[kind] for case in _SMALL for kind in ("file", "api"))]

VALUES = [
    None,
    True,
    0,
    -1,
    -10,
    -20,
    1.5,
    2**70,
    float("nan"),
    float("inf"),
    "",
    "x" * 1000,
    "\ud800",
    "\0",
    "{a|" * 500,
    "%KSampler.seed%",
    "workflow>G",
    "PrimitiveNode",
    "Reroute",
    "GetNode",
    "11111111-1111-4111-8111-111111111111",
    [],
    {},
    [[]],
    ["1", 0],
    [1, 2, 3, 4, 5, 6],
    {"__value__": [1]},
    {"class_type": "SaveImage", "inputs": {}},
    {"nodes": [], "links": []},
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document: the list or object, and the position or key in it."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    for each in pending:  # grows while it is walked
        keys = list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        found += [(each, key) for key in keys]
        pending += [each[key] for key in keys]
    return found


def copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def mutate(document: Any, chance: random.Random) -> None:
    """One change somewhere in a document."""
    every = places(document)
    if not every:
        return
    holder, key = chance.choice(every)
    kind = chance.randrange(7)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key] = copy(chance.choice(VALUES))
    elif kind == 2:  # something from elsewhere: ids, types, whole nodes
        other, place = chance.choice(every)
        holder[key] = copy(other[place])
    elif kind == 3 and isinstance(holder, list):
        holder[key:key] = [copy(holder[key])] * chance.choice([1, 2, 100])
    elif kind == 4 and isinstance(holder, list):
        chance.shuffle(holder)
    elif kind == 5 and isinstance(holder[key], int):
        holder[key] = holder[key] + chance.choice([-1, 1, 10**6])
    elif isinstance(holder, dict):
        holder[f"{key}{chance.choice(['', ' ', '_1'])}"] = copy(chance.choice(VALUES))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The text of a damaged file."""
    document = copy(draw(st.sampled_from(FILES)))
    chance = draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(1, 8))):
        mutate(document, chance)
    text = json.dumps(document)
    if chance.random() < 0.05:
        levels = chance.choice([60, 500, 5000])
        text = f'{text[:-1]}, "deep": {"[" * levels}{"]" * levels}}}'
    if chance.random() < 0.05:
        text = text[: chance.randrange(len(text))]
    return text


def outcomes(text: str) -> Iterator[Workflow | WorkflowError]:
    """What each reader makes of a file."""
    notes: list[str] = []
    try:
        workflow = parse_workflow(text, notes.append, REGISTRY)
    except WorkflowError as error:
        yield error
        return
    assert len(notes) <= 1
    assert all("\n" not in note for note in notes)
    yield workflow
    assert all(fault.message and fault.fix for fault in validate(workflow, REGISTRY))
    document = json.loads(text)
    if is_editor_file(document):
        try:
            convert(document, SCHEMAS)
        except WorkflowError as error:
            yield error


@settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(damaged())
def test_a_damaged_file_is_a_workflow_or_a_clear_fault(text: str) -> None:
    tracemalloc.start()
    started = time.process_time()
    try:
        for outcome in outcomes(text):
            if isinstance(outcome, WorkflowError):
                assert all(fault.code and fault.message and fault.fix for fault in outcome.faults)
            else:
                assert parse_workflow(outcome.dumps(), lambda note: None, REGISTRY) == outcome
        taken, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < SECONDS
    assert peak < BYTES
