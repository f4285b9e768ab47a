"""Our engine compared with traces of ComfyUI's, recorded on 150 random graphs and 11 invalid ones.

A trace has what each of four runs computed and which nodes it ran: a first run, an identical second run, a
run with one literal changed, and a run of one output only on a fresh engine. The environment variable
``ENGINE_TRACES`` can name another file of the same format.

ComfyUI runs a node if any node that it depends on ran. Ours does not run it if all values that it reads are
unchanged (early cut-off). The nodes that ran and those skipped in this way are together the nodes that
ComfyUI ran.
"""

import json
import os
from pathlib import Path

import pytest
from conformance.integer_nodes import REGISTRY

from run_graph.graph import Workflow, validate
from run_graph.graph.faults import Fault
from run_graph.graph.validation import check
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.plan import make_plan
from run_graph.runtime.engine.session import RunResult, Session
from run_graph.runtime.events import Event, NodeReused, NodeStarted

TRACES = json.loads(
    Path(os.environ.get("ENGINE_TRACES", Path(__file__).with_name("engine_traces.json"))).read_text()
)
# ComfyUI's names for faults that have a code of their own here; all others have the same name.
COMFYUI_NAMES = {
    "link_to_missing_node": "exception_during_inner_validation",
    "link_to_missing_output": "exception_during_inner_validation",
}
ENVIRONMENT = RunEnvironment([Path()], Path("output"))


class Recorder:
    """Runs workflows in one session and records which nodes ran."""

    def __init__(self) -> None:
        self.session = Session(REGISTRY)

    def run(
        self, workflow: Workflow, targets: list[str] | None = None
    ) -> tuple[RunResult, list[str], list[str]]:
        events: list[Event] = []
        result = self.session.run(workflow, targets=targets, environment=ENVIRONMENT, on_event=events.append)
        ran = [event.node_id for event in events if isinstance(event, NodeStarted)]
        unchanged = [e.node_id for e in events if isinstance(e, NodeReused) and e.origin == "unchanged"]
        return result, ran, unchanged


def same_nodes(workflow: Workflow, ran: list[str], recorded: list[str], targets: list[str] | None) -> bool:
    """Whether the same nodes ran. Of identical nodes each engine runs one, maybe not the same one."""
    plan = make_plan(check(workflow, REGISTRY, targets), ENVIRONMENT)
    mine = [plan.steps[node_id].node_id for node_id in ran]
    theirs = [plan.steps[node_id].node_id for node_id in recorded]
    return len(mine) == len(set(mine)) and set(mine) == set(theirs)


def assert_run(
    recorder: Recorder, workflow: Workflow, recorded: dict, targets: list[str] | None = None
) -> None:
    result, ran, unchanged = recorder.run(workflow, targets)
    outputs = {node_id: result.outputs(node_id).value for node_id in result.by_node}
    assert outputs == recorded["outputs"]
    assert same_nodes(workflow, [*ran, *unchanged], recorded["ran"], targets), (ran, recorded["ran"])


@pytest.mark.parametrize("case", TRACES["cases"], ids=lambda case: str(TRACES["cases"].index(case)))
def test_each_run_computes_the_same_values_with_the_same_nodes(case: dict) -> None:
    workflow = Workflow.from_json(case["prompt"])
    recorder = Recorder()
    assert_run(recorder, workflow, case["run1"])
    assert_run(recorder, workflow, case["run2_identical"])
    change = case["changed"]
    changed = workflow.with_input(change["node"], change["input"], change["value"])
    assert_run(recorder, changed, case["run3_changed"])
    partial = case["run4_partial"]
    assert_run(Recorder(), workflow, partial, partial["targets"])


@pytest.mark.parametrize("case", TRACES["invalid"], ids=lambda case: case["name"])
def test_invalid_prompts_get_the_error_types_of_comfyui(case: dict) -> None:
    faults = validate(Workflow.from_json(case["prompt"]), REGISTRY)
    assert (not faults) == case["accepted"]
    names = [COMFYUI_NAMES.get(fault.code, fault.code) for fault in faults]
    if case["node_error_types"]:
        assert set(names) == set(case["node_error_types"])
        assert {fault.node_id for fault in faults} == set(case["node_ids"])
    else:
        assert names == [case["error_type"]]
    assert all(isinstance(fault, Fault) and fault.fix for fault in faults)
