"""ComfyUI's behaviour, from its tests/execution/test_execution.py and validate_node_input_test.py.

Only facts about behaviour come from there; each test names the case. Cases are left out if this engine does
not have the feature: lists that run a node once per item, nodes that expand into graphs, execution blockers,
asynchronous nodes and undeclared inputs.
"""

from typing import Any

import pytest
from conformance.picture_nodes import (
    REGISTRY,
    SEEN,
    CustomIsChanged,
    CustomValidation,
    FingerprintSees,
    LazyMix,
    SaveImage,
    StubFloat,
    StubImage,
    StubMask,
)
from engine import ENVIRONMENT, Engine, workflow

from run_graph.graph import (
    Workflow,
    WorkflowError,
    validate,
)
from run_graph.graph.sockets import compatible
from run_graph.runtime.cache import NoCache
from run_graph.runtime.errors import NodeFailed


def mix(value: float, **changes: Any) -> Workflow:
    nodes: dict[str, Any] = {
        "input1": (StubImage, {"content": "BLACK"}),
        "input2": (StubImage, {"content": "WHITE"}),
        "mask": (StubMask, {"value": value}),
        "mix": (LazyMix, {"image1": "@input1", "image2": "@input2", "mask": "@mask"}),
        "save": (SaveImage, {"images": "@mix"}),
    }
    return workflow(**{**nodes, **changes})


def saved(result: Any, node_id: str = "save") -> str:
    return str(result.outputs(node_id).path)


def test_lazy_input() -> None:
    """test_lazy_input: of two pictures only the one that the mask shows is computed."""
    engine = Engine(REGISTRY)
    assert saved(engine.run(mix(0.0))) == "BLACK512"
    assert set(engine.ran) == {"input1", "mask", "mix", "save"}


@pytest.mark.parametrize("cached", [True, False])
def test_full_cache(cached: bool) -> None:
    """test_full_cache: an identical second run runs nothing with a cache, everything without."""
    engine = Engine(REGISTRY, None if cached else NoCache())
    engine.run(mix(0.5))
    engine.run(mix(0.5))
    assert set(engine.ran) == (set() if cached else {"input1", "input2", "mask", "mix", "save"})


@pytest.mark.parametrize("cached", [True, False])
def test_partial_cache(cached: bool) -> None:
    """test_partial_cache: after a change of the mask the pictures are not computed again."""
    engine = Engine(REGISTRY, None if cached else NoCache())
    engine.run(mix(0.5))
    engine.run(mix(0.4))
    assert ({"input1", "input2"} <= set(engine.ran)) == (not cached)
    assert {"mask", "mix", "save"} <= set(engine.ran)


def test_error() -> None:
    """test_error: an exception in a node ends the run with a message that names the node."""
    with pytest.raises(NodeFailed, match=r"node 'mix' \(LazyMix\) failed: the pictures differ in size"):
        Engine(REGISTRY).run(mix(0.5, input2=(StubImage, {"content": "NOISE", "size": 256})))


def validation(input1: Any, input2: Any = 3.0, **more: Any) -> list[Any]:
    given = workflow(
        v=(CustomValidation, {"input1": input1, "input2": input2}), s=(SaveImage, {"images": "@v"}), **more
    )
    return validate(given, REGISTRY, env=ENVIRONMENT)


@pytest.mark.parametrize(("value", "faulty"), [(5, True), ("foo", True), (2.0, False)])
def test_validation_error_literal(value: Any, faulty: bool) -> None:
    """test_validation_error_literal: a literal that fails the node's own check or its type."""
    assert bool(validation(value)) == faulty


@pytest.mark.parametrize(
    ("source", "faulty"),
    [((StubFloat, {"value": 5.0}), False), ((StubMask, {"value": 5.0}), True), ((StubImage, {}), True)],
)
def test_validation_error_edge(source: Any, faulty: bool) -> None:
    """test_validation_error_edge1..4: links are judged by type; their values are not known yet."""
    faults = validation("@stub", stub=source)
    assert [fault.code for fault in faults] == (["return_type_mismatch"] if faulty else [])


@pytest.mark.parametrize(("second", "faulty"), [(0.5, False), (5.0, False), (7.0, True)])
def test_validation_error_kwargs(second: float, faulty: bool) -> None:
    """test_validation_error_kwargs: the check sees several inputs at once."""
    faults = validation(0.0, second)
    assert [(fault.input, fault.code) for fault in faults] == (
        [("input2", "custom_validation_failed")] if faulty else []
    )


def test_cycle_error() -> None:
    """test_cycle_error: a cycle is refused before anything runs."""
    engine = Engine(REGISTRY)
    given = mix(0.5, input2=(LazyMix, {"image1": "@mix", "image2": "@input1", "mask": "@mask"}))
    with pytest.raises(WorkflowError) as error:
        engine.run(given)
    assert {fault.code for fault in error.value.faults} == {"dependency_cycle"}
    assert {fault.node_id for fault in error.value.faults} == {"mix", "input2"}
    assert engine.events == []


def test_missing_node_error() -> None:
    """test_missing_node_error: a link to a removed node is a fault; the good output runs when asked for.

    ComfyUI runs the outputs that are good and reports the others. This engine runs all or nothing, unless
    the caller names the targets.
    """
    engine = Engine(REGISTRY)
    bad = (LazyMix, {"image1": "@input1", "image2": "@removed", "mask": "@mask"})
    given = mix(0.5, bad=bad, other=(SaveImage, {"images": "@bad"}))
    with pytest.raises(WorkflowError, match=r"node 'bad'.*node 'removed', which does not exist"):
        engine.run(given)
    assert saved(engine.run(given, ["save"])) == "BLACK512+WHITE512"
    with_it_back = mix(
        0.5, bad=bad, other=(SaveImage, {"images": "@bad"}), removed=(StubImage, {"content": "GREY"})
    )
    assert saved(engine.run(with_it_back), "other") == "BLACK512+GREY512"


def test_custom_is_changed() -> None:
    """test_custom_is_changed: cached while unchanged, run each time when it says that it changes."""
    engine = Engine(REGISTRY)
    ran = []
    for should_change in (False, False, True, True):
        engine.run(
            workflow(
                save=(SaveImage, {"images": "@changed"}),
                changed=(CustomIsChanged, {"should_change": should_change, "image": "@input"}),
                input=(StubImage, {}),
            )
        )
        ran.append("changed" in engine.ran)
    assert ran == [True, False, True, True]


def test_is_changed_with_outputs() -> None:
    """test_is_changed_with_outputs: the fingerprint sees literals, never values of linked inputs."""
    engine = Engine(REGISTRY)
    given = workflow(
        i=(StubImage, {}), f=(FingerprintSees, {"image": "@i", "value": 0.5}), s=(SaveImage, {"images": "@f"})
    )
    engine.run(given)
    engine.run(given)
    assert engine.ran == []
    assert set(SEEN) == {(False, 0.5)}


def test_output_reuse() -> None:
    """test_output_reuse: two outputs that save the same picture both have it as their result."""
    result = Engine(REGISTRY).run(
        workflow(i=(StubImage, {}), a=(SaveImage, {"images": "@i"}), b=(SaveImage, {"images": "@i"}))
    )
    assert saved(result, "a") == saved(result, "b") == "BLACK512"


TWO_OUTPUTS = workflow(
    input1=(StubImage, {"content": "BLACK"}),
    input2=(StubImage, {"content": "WHITE"}),
    output1=(SaveImage, {"images": "@input1"}),
    output2=(SaveImage, {"images": "@input2"}),
)


@pytest.mark.parametrize(
    ("targets", "ran"),
    [
        (["output1"], {"input1", "output1"}),
        (["output2"], {"input2", "output2"}),
        (["output1", "output2"], {"input1", "input2", "output1", "output2"}),
        (None, {"input1", "input2", "output1", "output2"}),
        (["input2"], {"input2"}),
    ],
)
def test_partial_execution(targets: list[str] | None, ran: set[str]) -> None:
    """test_partial_execution_*: only the targets that were asked for and their ancestors run."""
    engine = Engine(REGISTRY)
    engine.run(TWO_OUTPUTS, targets)
    assert set(engine.ran) == ran


def test_partial_execution_shared_dependencies() -> None:
    """test_partial_execution_shared_dependencies: a node that two outputs share runs once for both."""
    engine = Engine(REGISTRY)
    given = mix(0.5, save2=(SaveImage, {"images": "@mix"}), only2=(CustomIsChanged, {"image": "@mix"}))
    engine.run(given, ["save"])
    engine.run(given, ["only2"])
    assert engine.ran == ["only2"]


@pytest.mark.parametrize(
    ("produced", "accepted", "fits"),
    [
        ("STRING", "STRING", True),
        ("STRING,INT", "STRING,INT", True),
        ("INT,STRING", "STRING,INT", True),
        ("STRING,BOOLEAN", "STRING,INT", True),
        ("STRING,INT", "INT,BOOLEAN", True),
        ("STRING", "STRING,INT,BOOLEAN", True),
        ("STRING,INT,BOOLEAN", "STRING", True),
        ("BOOLEAN", "STRING,INT", False),
        ("FLOAT", "STRING,INT", False),
        ("FLOAT,BOOLEAN", "STRING,INT", False),
        ("STRING, INT", "INT", True),
        (" STRING , INT ", "INT", True),
        ("INT", " STRING , INT", True),
        ("", "", True),
        ("STRING", "", False),
        ("", "STRING", False),
    ],
)
def test_validate_node_input(produced: str, accepted: str, fits: bool) -> None:
    """validate_node_input_test.py, non-strict mode (the only one that its engine uses for links)."""
    assert compatible(produced, accepted) is fits
