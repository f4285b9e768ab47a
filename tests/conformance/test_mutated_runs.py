"""Damaged workflows of users, run on ``tiny``: a clear fault, a clear failure of a node, or a run that ends.

The environment variable ``RUN_GRAPH_MUTATIONS`` says how many are tried, 1000 for instance; by default a few.
"""

import json
import linecache
import os
import random
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small import SHIPPED, shipped

from run_graph.graph import Registry, Workflow, WorkflowError, parse_workflow
from run_graph.nodes import NODES
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import CancelToken, RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.formats.trial import Trial, tried
from run_graph.runtime.models.store import ModelStore

COUNT = int(os.environ.get("RUN_GRAPH_MUTATIONS", "15"))
PATIENCE, SECONDS, BYTES = 3, 30, 3 * 2**30
REGISTRY = Registry(NODES)
HERE = Path(__file__).parent
CORPUS = [
    HERE / "corpus" / "flux_fp8_api.json",
    HERE / "corpus" / "txt2img_wrapped.json",
    *(HERE.parent / "graph" / "formats" / "editor" / "data" / "corpus").glob("redux_*.json"),
]
FILES = [json.loads(path.read_text(encoding="utf-8")) for path in CORPUS]
FILES += [shipped(name).to_json() for name in SHIPPED]
TRIAL = Trial("tiny", 1024)

VALUES = [
    None, True, 0, -1, 1, 3, 17, 4096, 2**40, 2**70, 0.5, -0.5, 1e-9, 1e300, "", "euler", "(a:1e9)", "\0",
    "../x", "%seed%", "x" * 2000, [], {}, ["1", 0], {"__value__": [1, 2]},
]  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document that holds a plain value or a link: the list or object, and the key in it."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    for each in pending:  # grows while it is walked
        keys = list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        found += [(each, key) for key in keys if key not in ("pos", "size", "color", "bgcolor", "groups")]
        pending += [each[key] for key in keys]
    return found


def mutate(document: Any, chance: random.Random) -> None:
    """One change that leaves most of the document as it is; mostly of numbers, which get far into a run."""
    every = places(document)
    numbers = [(holder, key) for holder, key in every if type(holder[key]) in (int, float)]
    holder, key = chance.choice(numbers if numbers and chance.random() < 0.6 else every)
    old = holder[key]
    kind = chance.randrange(5)
    if isinstance(old, bool) or kind == 0:
        holder[key] = chance.choice(VALUES)
    elif isinstance(old, int | float) and kind < 4:
        holder[key] = chance.choice([0, 1, -old, old + 1, old * 2, old / 2, old * 10, 2.5])
    elif isinstance(old, str) and kind < 3:
        holder[key] = chance.choice([each[place] for each, place in every if isinstance(each[place], str)])
    else:
        others = [each[place] for each, place in every if type(each[place]) is type(old)]
        holder[key] = json.loads(json.dumps(chance.choice(others)))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    document = json.loads(json.dumps(draw(st.sampled_from(FILES))))
    chance = draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(1, 4))):
        mutate(document, chance)
    return json.dumps(document)


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(REGISTRY, NoCache(), Services(ModelStore()))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> RunEnvironment:
    """Folders with every picture that the files name."""
    folder = tmp_path_factory.mktemp("in")
    names = {text for each in FILES for text in texts(each) if text.endswith((".png", ".jpg", ".webp"))}
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGBA", (40, 56), "orange").save(folder / name, "PNG")
    return RunEnvironment([folder], tmp_path_factory.mktemp("out"))


def texts(document: Any) -> Iterator[str]:
    return (each[key] for each, key in places(document) if isinstance(each[key], str))


def is_told(error: BaseException) -> bool:
    """Whether an error was raised on purpose, by our own code, rather than met by chance."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    return line.startswith("raise ") and "site-packages" not in frame.filename and bool(str(error))


def quick(workflow: Workflow) -> Workflow:
    """The workflow on the built-in model, with small pictures and, if they are usual ones, few steps.

    A run stops between two steps only, and a step of a large batch takes long: four pictures at most.
    """
    workflow, _ = tried(workflow, REGISTRY, TRIAL)
    for node_id, spec in workflow.nodes.items():
        for name, most, least in (("steps", 60, 2), ("batch_size", 2**70, 4), ("amount", 2**70, 4)):
            if type(value := spec.inputs.get(name)) is int and least < value < most:
                workflow = workflow.with_input(node_id, name, least)
    return workflow


def run(text: str, session: Session, environment: RunEnvironment) -> None:
    """Run a file; whatever is wrong must have been told."""
    try:
        workflow = parse_workflow(text, lambda note: None, REGISTRY)
        workflow = quick(workflow)
    except WorkflowError:
        return
    token = CancelToken()
    timer = threading.Timer(PATIENCE, token.cancel)
    timer.start()
    try:
        session.run(workflow, environment=environment, token=token)
    except (WorkflowError, Cancelled):
        pass
    except NodeFailed as failed:
        if not is_told(failed.__cause__ or failed):
            raise
    finally:
        timer.cancel()


@settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(text=damaged())
def test_a_damaged_file_runs_or_says_what_is_wrong(
    text: str, session: Session, environment: RunEnvironment
) -> None:
    mx.reset_peak_memory()
    started = time.monotonic()
    run(text, session, environment)
    assert time.monotonic() - started < SECONDS
    assert mx.get_peak_memory() < BYTES
