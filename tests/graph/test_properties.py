"""Properties of arbitrary workflows: round trips, and validation that never raises."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from engine import ENVIRONMENT, plan_keys
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_nodes import REGISTRY

from run_graph.graph import Fault, Graph, Link, NodeSpec, Workflow, WorkflowError, parse_workflow, validate
from run_graph.graph.fingerprint import canonical
from run_graph.graph.formats.api import workflow_from
from run_graph.graph.links import parse_link
from run_graph.graph.sockets import compatible
from run_graph.graph.validation import check
from run_graph.runtime.engine.plan import make_plan

SETTINGS = settings(max_examples=150, deadline=None)

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=12)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ids = st.sampled_from(["a", "b", "c", "photo", "1", "2", ""])
class_types = st.sampled_from([*REGISTRY, "Nonsense", ""])
input_names = st.sampled_from(["image", "mask", "name", "radius", "edge", "width", "prefix", "value", "zzz"])
links = st.tuples(ids, st.integers(-1, 2) | st.sampled_from(["image", "mask", "path", 0.0, 1.5, True])).map(
    list
)
wrapped = json_values.map(lambda value: {"__value__": value})
node_documents = st.fixed_dictionaries(
    {
        "class_type": class_types,
        "inputs": st.dictionaries(input_names, links | wrapped | json_values, max_size=5),
    },
    optional={"_meta": st.fixed_dictionaries({}, optional={"title": json_values})},
)
workflow_documents = st.dictionaries(ids, node_documents, max_size=6)


def faults_in(step: Callable[[], Sequence[Fault]]) -> Sequence[Fault]:
    """The faults that a step returns or raises; any other exception is a failure of the test."""
    try:
        return step()
    except WorkflowError as error:
        return error.faults


@SETTINGS
@given(workflow_documents)
def test_writing_and_reading_a_workflow_gives_the_same(document: dict[str, Any]) -> None:
    workflow = workflow_from(document)
    assert parse_workflow(workflow.dumps()) == workflow
    assert parse_workflow(json.dumps(workflow.to_json())) == workflow
    assert parse_workflow(workflow.dumps()).dumps() == workflow.dumps()


@SETTINGS
@given(workflow_documents)
def test_validation_reports_and_never_raises(document: dict[str, Any]) -> None:
    before = json.dumps(document)
    workflow = workflow_from(document)
    for targets in (None, list(workflow.nodes), ["nobody"]):
        checked = check(workflow, REGISTRY, targets, ENVIRONMENT)
        for fault in checked.faults:
            assert fault.code
            assert fault.fix
            assert str(fault)
        if not checked.faults:
            make_plan(checked, ENVIRONMENT)
    assert json.dumps(document) == before


@SETTINGS
@given(json_values)
def test_any_json_document_is_a_workflow_or_a_clear_error(document: Any) -> None:
    assert all(fault.fix for fault in faults_in(lambda: validate(workflow_from(document), REGISTRY)))


@SETTINGS
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_workflow_or_a_clear_error(text: str) -> None:
    assert all(fault.fix for fault in faults_in(lambda: validate(parse_workflow(text), REGISTRY)))


@SETTINGS
@given(workflow_documents)
def test_a_valid_workflow_survives_the_builder(document: dict[str, Any]) -> None:
    """The builder writes out all parameters; a second round trip changes nothing."""
    workflow = workflow_from(document)
    if not workflow.nodes or validate(workflow, REGISTRY, list(workflow.nodes)):
        return
    graph = Graph.from_workflow(workflow, REGISTRY)
    again = Graph.from_workflow(parse_workflow(graph.workflow.dumps()), REGISTRY)
    assert again == graph
    targets = list(workflow.nodes)
    keys = plan_keys(make_plan(check(workflow, REGISTRY, targets), ENVIRONMENT))
    assert plan_keys(make_plan(check(graph.workflow, REGISTRY, targets), ENVIRONMENT)) == keys


@SETTINGS
@given(workflow_documents, st.randoms(use_true_random=False))
def test_the_order_of_nodes_and_inputs_is_irrelevant(document: dict[str, Any], random: Any) -> None:
    def shuffled(mapping: dict[str, Any]) -> dict[str, Any]:
        items = list(mapping.items())
        random.shuffle(items)
        return dict(items)

    other = shuffled(
        {node_id: {**spec, "inputs": shuffled(spec["inputs"])} for node_id, spec in document.items()}
    )
    one, two = workflow_from(document), workflow_from(other)
    assert one == two
    targets = sorted(document)
    first, second = check(one, REGISTRY, targets), check(two, REGISTRY, targets)
    assert {(f.node_id, f.input, f.code) for f in first.faults} == {
        (f.node_id, f.input, f.code) for f in second.faults
    }
    if targets and not first.faults:
        assert plan_keys(make_plan(first, ENVIRONMENT)) == plan_keys(make_plan(second, ENVIRONMENT))


@SETTINGS
@given(json_values, json_values)
def test_canonical_json_is_json_and_differs_for_different_values(one: Any, other: Any) -> None:
    assert json.loads(canonical(one)) == one
    same_json = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical(one) == canonical(other)) == same_json


@SETTINGS
@given(json_values)
def test_a_link_is_written_as_it_was_read(value: Any) -> None:
    link = parse_link(value)
    if link is not None:
        assert link.to_json() == value


edges = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25)


@SETTINGS
@given(edges)
def test_there_is_an_order_exactly_when_there_is_no_cycle(pairs: list[tuple[int, int]]) -> None:
    nodes = {
        str(reader): NodeSpec(
            "Any", {f"from{source}": Link(str(source)) for source, target in pairs if target == reader}
        )
        for reader in range(10)
    }
    workflow = Workflow(nodes)
    order, cycles = workflow.order(), workflow.cycles()
    assert (order is None) == bool(cycles)
    for cycle in cycles:
        assert len(cycle) == len(set(cycle))
        for source, reader in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert (int(source), int(reader)) in pairs
    if order is not None:
        position = {node_id: index for index, node_id in enumerate(order)}
        assert all(position[str(source)] < position[str(reader)] for source, reader in pairs)


socket_types = st.lists(
    st.sampled_from(["IMAGE", "INT", "FLOAT", "STRING", "COMBO", "*", "X"]), min_size=1, max_size=3
)


@SETTINGS
@given(socket_types, socket_types)
def test_unions_fit_if_any_of_their_members_do(produced: list[str], accepted: list[str]) -> None:
    expected = any(compatible(source, sink) for source in produced for sink in accepted)
    assert compatible(",".join(produced), ",".join(accepted)) == expected


@SETTINGS
@given(st.floats())
def test_numbers_that_json_lacks_are_refused(number: float) -> None:
    text = json.dumps({"a": {"class_type": "Keep", "inputs": {"value": number}}})
    try:
        value = parse_workflow(text).nodes["a"].inputs["value"]
    except WorkflowError:
        assert not math.isfinite(number)
    else:
        assert value == number
