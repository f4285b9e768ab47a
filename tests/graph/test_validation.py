"""Validation: every fault at once, each with its code, place, value found, expectation and fix."""

import random
import time
from asyncio import CancelledError
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from engine import ENVIRONMENT, workflow
from pydantic import model_validator
from sample_nodes import REGISTRY, Blur, Image, Keep, Kept, LoadPhoto, SavePhoto, Scale

from run_graph.graph import (
    Context,
    Environment,
    Fault,
    Field,
    Link,
    Node,
    NodeSpec,
    Problem,
    Registry,
    Workflow,
    WorkflowError,
    validate,
)
from run_graph.graph.faults import nearest
from run_graph.graph.validation import check

GOOD: dict[str, tuple[Any, dict[str, Any]]] = {
    "photo": (LoadPhoto, {"name": "fox.png"}),
    "blur": (Blur, {"image": "@photo", "radius": 2}),
    "save": (SavePhoto, {"image": "@blur.image"}),
}


def faults_of(*, env: Environment | None = None, **changes: tuple[Any, dict[str, Any]]) -> list[Fault]:
    return validate(workflow(**{**GOOD, **changes}), REGISTRY, env=env)


def only_fault(**changes: tuple[Any, dict[str, Any]]) -> Fault:
    (fault,) = faults_of(**changes)
    assert fault.fix
    return fault


def test_a_good_workflow_has_no_faults_and_its_nodes_come_in_topological_order() -> None:
    checked = check(workflow(**dict(reversed(GOOD.items()))), REGISTRY)
    assert checked.faults == ()
    assert list(checked.nodes) == ["photo", "blur", "save"]
    assert checked.targets == ("save",)


def test_named_slots_are_normalised_to_numbers() -> None:
    checked = check(workflow(**GOOD), REGISTRY)
    assert checked.nodes["save"].image == Link("blur", 0)  # type: ignore[attr-defined]
    scaled = workflow(**GOOD, scale=(Scale, {"image": "@photo", "mask": "@photo.mask"}))
    assert check(scaled, REGISTRY, ["scale"]).nodes["scale"].mask == Link("photo", 1)  # type: ignore[attr-defined]


def test_all_faults_are_reported_at_once_with_their_places() -> None:
    found = faults_of(
        photo=(LoadPhoto, {}),
        blur=(Blur, {"image": "@photo.mask", "radius": 11, "edge": "wrapp", "colour": 1}),
        save=(SavePhoto, {"image": "@blurr", "prefix": 5}),
        scale=(Scale, {"image": "@blur", "width": 500}),
        other=(SavePhoto, {"image": "@scale"}),
    )
    assert {(fault.node_id, fault.input, fault.code) for fault in found} == {
        ("photo", "name", "required_input_missing"),
        ("blur", "image", "return_type_mismatch"),
        ("blur", "radius", "value_bigger_than_max"),
        ("blur", "edge", "value_not_in_list"),
        ("blur", "colour", "unknown_input"),
        ("save", "image", "link_to_missing_node"),
        ("save", "prefix", "invalid_input_type"),
        ("scale", "width", "value_not_a_multiple"),
    }
    assert all(fault.message and fault.fix and fault.class_type for fault in found)


def test_the_text_of_a_fault_has_place_value_expectation_fix_and_code() -> None:
    assert str(only_fault(blur=(Blur, {"image": "@photo", "radius": 11}))) == (
        "node 'blur' (Blur), input 'radius': the value is too large "
        "(found 11; expected FLOAT, from 0 to 10). Write at most 10. [value_bigger_than_max]"
    )


@pytest.mark.parametrize(
    ("inputs", "code", "found", "fix"),
    [
        ({"radius": -0.5}, "value_smaller_than_min", "-0.5", "Write at least 0."),
        ({"radius": "soft"}, "invalid_input_type", '"soft"', "Write FLOAT, from 0 to 10."),
        ({"radius": None}, "invalid_input_type", "null", "Write FLOAT"),
        ({"edge": "wrapp"}, "value_not_in_list", '"wrapp"', "Did you mean 'wrap'?"),
        ({"edge": 17}, "value_not_in_list", "17", "Write one of the values listed."),
        ({"radiuss": 1}, "unknown_input", None, "Did you mean 'radius'?"),
        ({"zzz": 1}, "unknown_input", None, "Remove it."),
        ({"image": "fox.png"}, "invalid_input_type", '"fox.png"', "output of LoadPhoto, Blur, Scale"),
        ({"image": ["photo"]}, "bad_linked_input", "['photo']", 'Write a link as ["node id", slot]'),
        ({"image": ["photo", 0, 1]}, "bad_linked_input", "['photo', 0, 1]", '{"__value__": [...]}'),
        ({"image": Link("phot")}, "link_to_missing_node", "['phot', 0]", "Did you mean 'photo'?"),
        ({"image": Link("photo", 5)}, "link_to_missing_output", "['photo', 5]", "Link one of"),
        ({"image": Link("photo", -1)}, "link_to_missing_output", "['photo', -1]", "Link one of"),
        ({"image": Link("photo", "img")}, "link_to_missing_output", "['photo', 'img']", "Link one of"),
        ({"image": Link("photo", 1)}, "return_type_mismatch", "MASK", 'instead: ["photo", "image"]'),
        ({"image": Link("keep", 0)}, None, None, None),
        ({"radius": Link("photo", 0)}, "return_type_mismatch", "IMAGE", "to a node that makes FLOAT."),
    ],
)  # fmt: skip
def test_a_wrong_input_is_one_fault_with_its_fix(
    inputs: dict[str, Any], code: str | None, found: str | None, fix: str | None
) -> None:
    given = {"image": Link("photo", 0), **inputs}
    faults = faults_of(blur=(Blur, given), keep=(Keep, {"value": 1}))
    if code is None:
        assert faults == []
        return
    (fault,) = faults
    assert (fault.node_id, fault.class_type, fault.code) == ("blur", "Blur", code)
    assert fault.found == found
    assert fix is not None
    assert fix in fault.fix


def test_the_fix_of_a_missing_link_names_nodes_with_such_an_output() -> None:
    fault = only_fault(blur=(Blur, {}))
    assert fault.code == "required_input_missing"
    assert fault.expected == "a link to an IMAGE output"
    assert "output of LoadPhoto, Blur, Scale" in fault.fix


@pytest.mark.parametrize(
    ("width", "fix"),
    [
        (500, "The nearest legal values are 496 and 512."),
        ("500", "The nearest legal values are 496 and 512."),
        (-5, "The nearest legal value is 16."),
        (5, "The nearest legal value is 16."),
        (4097, "The nearest legal value is 4096."),
        (10**30 + 1, "The nearest legal value is 4096."),
    ],
)
def test_the_nearest_legal_multiples_are_named(width: Any, fix: str) -> None:
    fault = only_fault(
        scale=(Scale, {"image": "@photo", "width": width}), save=(SavePhoto, {"image": "@scale"})
    )
    assert fault.code == "value_not_a_multiple"
    assert fault.fix == fix


def test_large_multiples_are_written_out() -> None:
    class Wide(Node):
        is_output = True
        width: int = Field(multiple_of=16)

        def run(self, ctx: Context) -> Kept:
            return Kept(value=self.width)

    (fault,) = validate(workflow(w=(Wide, {"width": 1_048_577})), Registry([Wide]))
    assert fault.fix == "The nearest legal values are 1048576 and 1048592."


def test_literals_that_convert_without_loss_are_accepted() -> None:
    checked = check(
        workflow(
            photo=(LoadPhoto, {"name": "a"}),
            scale=(Scale, {"image": "@photo", "width": 512.0, "mask": None}),
            blur=(Blur, {"image": "@scale", "radius": "2.5"}),
            save=(SavePhoto, {"image": "@blur"}),
        ),
        REGISTRY,
    )
    assert checked.faults == ()
    assert checked.nodes["scale"].width == 512  # type: ignore[attr-defined]
    assert checked.nodes["blur"].radius == 2.5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("class_type", "fix"),
    [
        ("LoadFoto", "Did you mean 'LoadPhoto'?"),
        ("loadphoto", "Did you mean 'LoadPhoto'?"),
        ("KSampler", "run-graph --list-nodes lists all classes; --nodes FILE.py adds those in a file."),
    ],
)
def test_an_unknown_class_suggests_the_nearest_name(class_type: str, fix: str) -> None:
    fault = only_fault(photo=(class_type, {"anything": 1}))
    assert fault.code == "missing_node_type"
    assert (fault.node_id, fault.class_type) == ("photo", class_type)
    assert fault.fix == fix


@pytest.mark.parametrize(
    ("class_type", "written", "part"),
    [
        ("ImageResize+", None, "It is in cubiq/ComfyUI_essentials, a package"),
        ("Image Comparer (rgthree)", None, "It is in rgthree/rgthree-comfy, a package"),
        ("NunchakuAnything", None, "It is in nunchaku-tech/ComfyUI-nunchaku, a package"),
        ("PulidFluxModelLoader", None, "It is in balazik/ComfyUI-PuLID-Flux, a package"),
        ("ImageResize+", "a-fork", "It is in a-fork, a package"),
        ("ControlNetLoader", None, "It is one of ComfyUI's own"),
    ],
)
def test_an_unknown_class_is_told_with_its_package(class_type: str, written: str | None, part: str) -> None:
    (fault,) = validate(Workflow({"a": NodeSpec(class_type, pack=written)}), REGISTRY)
    assert fault.fix.startswith(part)


def test_nodes_of_unknown_classes_that_no_target_needs_are_left_out() -> None:
    graph = workflow(**GOOD, stray=("Nonsense", {}), after=("Show", {"image": "@stray"}))
    checked = check(graph, REGISTRY)
    assert checked.faults == ()
    assert [fault.node_id for fault in checked.left_out] == ["stray", "after"]
    assert {"stray", "after"}.isdisjoint(checked.nodes)


def test_an_unknown_class_is_a_fault_where_a_target_needs_it() -> None:
    checked = check(workflow(**GOOD, stray=("Nonsense", {})), REGISTRY, targets=["stray"])
    assert [fault.node_id for fault in checked.faults] == ["stray"]
    assert checked.left_out == ()


def test_an_unknown_class_is_a_fault_where_nothing_else_would_run() -> None:
    checked = check(workflow(stray=("Nonsense", {})), REGISTRY)
    assert [fault.code for fault in checked.faults] == ["missing_node_type"]


def test_a_node_without_class_type_is_a_fault() -> None:
    (fault,) = validate(Workflow({"a": NodeSpec("")}), REGISTRY, targets=["a"])
    assert fault.code == "missing_node_type"
    assert fault.message == "the node has no class_type"


def test_other_faults_of_nodes_that_no_target_needs_are_not_reported() -> None:
    assert faults_of(stray=(Blur, {"radius": 99}), loop=(Blur, {"image": "@loop"})) == []
    broken = workflow(**GOOD, stray=(Blur, {"radius": 99}))
    assert {fault.node_id for fault in validate(broken, REGISTRY, targets=["stray"])} == {"stray"}


def test_targets_may_be_any_nodes() -> None:
    checked = check(workflow(**GOOD), REGISTRY, targets=["blur"])
    assert set(checked.nodes) == {"photo", "blur"}
    assert set(checked.workflow.nodes) == {"photo", "blur"}


def test_an_unknown_target_suggests_the_nearest_id() -> None:
    (fault,) = validate(workflow(**GOOD), REGISTRY, targets=["blurr"])
    assert fault.code == "target_not_found"
    assert fault.fix == "Did you mean 'blur'?"


def test_a_single_id_is_one_target_not_its_letters() -> None:
    assert check(workflow(**GOOD), REGISTRY, targets="blur").targets == ("blur",)


def test_the_fix_of_a_workflow_without_output_node_names_one() -> None:
    (fault,) = validate(workflow(photo=GOOD["photo"]), REGISTRY)
    assert fault.code == "prompt_no_outputs"
    assert fault.fix == "Add an output node, such as SavePhoto, or name a target."
    assert [fault.code for fault in validate(Workflow({}), Registry())] == ["prompt_no_outputs"]


def test_a_cycle_is_reported_at_each_of_its_nodes_with_its_path() -> None:
    found = faults_of(
        blur=(Blur, {"image": "@scale"}),
        scale=(Scale, {"image": "@blur"}),
        save=(SavePhoto, {"image": "@scale"}),
    )
    assert {fault.node_id for fault in found} == {"blur", "scale"}
    assert {fault.code for fault in found} == {"dependency_cycle"}
    assert "blur (Blur) -> scale (Scale) -> blur (Blur)" in found[0].message


def test_faults_beside_a_cycle_are_reported_too() -> None:
    codes = {fault.code for fault in faults_of(blur=(Blur, {"image": "@blur", "radius": 99}))}
    assert codes == {"dependency_cycle", "value_bigger_than_max"}


def test_a_huge_cycle_is_reported_quickly_and_briefly() -> None:
    ring = Workflow(
        {f"n{i}": NodeSpec("Blur", {"image": Link(f"n{i - 1 if i else 4999}")}) for i in range(5000)}
    )
    started = time.process_time()
    found = validate(ring, REGISTRY, targets=["n0"])
    assert time.process_time() - started < 5
    assert len(found) == 5000
    assert max(len(str(fault)) for fault in found) < 1000
    assert "4,990 more" in str(found[0])


def test_tangled_cycles_are_reported_once_a_node_and_quickly() -> None:
    chance = random.Random(0)
    tangle = Workflow(
        {
            f"n{i}": NodeSpec(
                "Scale",
                {"image": Link(f"n{chance.randrange(5000)}"), "mask": Link(f"n{chance.randrange(5000)}", 1)},
            )
            for i in range(5000)
        }
    )
    started = time.process_time()
    found = [
        fault for fault in validate(tangle, REGISTRY, targets=["n0"]) if fault.code == "dependency_cycle"
    ]
    assert time.process_time() - started < 3
    needed = tangle.only(tangle.ancestors(["n0"]))
    assert [fault.node_id for fault in found] == needed.nodes_on_cycles()
    assert len(found) > 1000
    assert sum(" -> " in fault.message for fault in found) >= 20
    text = str(WorkflowError(found))
    assert text.count("\n") == 51
    assert text.endswith(f"and {len(found) - 50:,} more (--json lists all)")


@pytest.mark.parametrize("kind", ["links", "classes", "targets"])
def test_many_misspelt_names_are_reported_in_linear_time(kind: str) -> None:
    """Each is not compared with each: only as many get a suggestion as a message shows."""
    count = 20_000
    nodes = {f"node{i}": NodeSpec("Keep", {"value": i}) for i in range(count)}
    targets = None
    if kind == "links":
        nodes |= {f"save{i}": NodeSpec("Keep", {"value": Link(f"nod{i}x")}) for i in range(count)}
    elif kind == "classes":
        nodes |= {f"made{i}": NodeSpec(f"Scal{i}") for i in range(count)}
        nodes |= {f"save{i}": NodeSpec("Keep", {"value": Link(f"made{i}")}) for i in range(count)}
    else:
        targets = [f"nod{i}x" for i in range(count)]
    started = time.process_time()
    found = validate(Workflow(nodes), REGISTRY, targets)
    assert time.process_time() - started < 4
    assert len(found) == count
    assert found[0].fix.startswith("Did you mean ")
    assert all(fault.fix for fault in found)


def test_a_nodes_check_is_called_only_with_an_environment_and_correct_types() -> None:
    photo = (LoadPhoto, {"name": "missing.png"})
    assert faults_of(photo=photo) == []
    (fault,) = faults_of(env=ENVIRONMENT, photo=photo)
    assert (fault.node_id, fault.input, fault.code) == ("photo", "name", "custom_validation_failed")
    assert fault.found == "missing.png"
    assert fault.fix == "Name another."
    codes = [f.code for f in faults_of(env=ENVIRONMENT, photo=(LoadPhoto, {"name": "missing.png", "x": 1}))]
    assert codes == ["unknown_input"]


class Fragile(Node):
    """A node whose check raises."""

    is_output = True
    kind: str = "KeyError"

    def check(self, env: Environment) -> Iterable[Problem]:
        kinds = {"KeyError": KeyError, "SystemExit": SystemExit, "CancelledError": CancelledError}
        raise kinds[self.kind]("oops")

    def run(self, ctx: Context) -> Kept:
        return Kept(value=1)


def test_a_check_that_raises_is_a_fault_of_that_node() -> None:
    (fault,) = validate(workflow(f=(Fragile, {})), Registry([Fragile]), env=ENVIRONMENT)
    assert (fault.node_id, fault.class_type, fault.code) == ("f", "Fragile", "exception_during_validation")
    assert "KeyError: 'oops'" in fault.message


@pytest.mark.parametrize("kind", ["SystemExit", "CancelledError"])
def test_a_check_that_exits_or_is_cancelled_is_a_fault_of_that_node(kind: str) -> None:
    (fault,) = validate(workflow(f=(Fragile, {"kind": kind})), Registry([Fragile]), env=ENVIRONMENT)
    assert (fault.node_id, fault.code) == ("f", "exception_during_validation")
    assert f"{kind}: oops" in fault.message


class Seeded(Node):
    """A node with a whole number of 64 bits."""

    is_output = True
    seed: int = Field(default=0, ge=0, le=2**64 - 1, description="A seed.")

    def run(self, ctx: Context) -> Kept:
        return Kept(value=self.seed)


@pytest.mark.parametrize("seed", [1.2e19, 2.0**63, 2.0**64 - 2048, 1e18, 7.0])
def test_a_whole_number_may_be_a_float_of_any_size(seed: float) -> None:
    checked = check(workflow(s=(Seeded, {"seed": seed})), Registry([Seeded]))
    assert checked.faults == ()
    assert checked.nodes["s"].__dict__["seed"] == int(seed)


@pytest.mark.parametrize(("seed", "code"), [(2.0**64, "value_bigger_than_max"), (1.5, "invalid_input_type")])
def test_a_float_out_of_range_or_not_whole_is_refused(seed: float, code: str) -> None:
    (fault,) = validate(workflow(s=(Seeded, {"seed": seed})), Registry([Seeded]))
    assert (fault.input, fault.code) == ("seed", code)


@pytest.mark.parametrize("name", ["upload", "choose file to upload", "control_after_generate"])
def test_what_only_comfyuis_editor_writes_beside_the_inputs_means_nothing(name: str) -> None:
    assert faults_of(photo=(LoadPhoto, {"name": "fox.png", name: "image"})) == []


def test_thousands_of_wrong_links_are_reported_in_seconds() -> None:
    """Each is compared with a bounded number of ids, and a message shows a bounded number of faults.

    Seconds of the processor: other programs may keep it busy.
    """
    wrong = {f"node{number}": (Seeded, {"seed": f"@nodx{number}"}) for number in range(3000)}
    started = time.process_time()
    faults = validate(workflow(**wrong), Registry([Seeded]))
    assert time.process_time() - started < 10
    assert len(faults) == 3000
    text = str(WorkflowError(faults))
    assert text.endswith("and 2,950 more (--json lists all)")
    assert len(text.splitlines()) == 52


def test_a_misspelt_name_is_found_among_many() -> None:
    names = [f"layer_{number}" for number in range(5000)]
    assert nearest("seed", [*names, "sead", "steps"]) == "sead"
    assert nearest("unlike anything", names) is None


class Forgetful(Fragile):
    """A node whose check returns None."""

    def check(self, env: Environment) -> Iterable[Problem]:
        return None  # type: ignore[return-value]


def test_a_check_that_returns_no_collection_is_a_fault_of_that_node() -> None:
    (fault,) = validate(workflow(f=(Forgetful, {})), Registry([Forgetful]), env=ENVIRONMENT)
    assert (fault.node_id, fault.code) == ("f", "exception_during_validation")


class Range(Node):
    """A rule over several inputs."""

    is_output = True

    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if isinstance(self.low, int) and isinstance(self.high, int) and self.low > self.high:
            raise ValueError("low is above high")
        return self

    def run(self, ctx: Context) -> Kept:
        return Kept(value=self.low)


def test_a_rule_over_several_inputs_is_a_fault_of_the_node() -> None:
    (fault,) = validate(workflow(r=(Range, {"low": 5, "high": 2})), Registry([Range]))
    assert (fault.node_id, fault.code, fault.message) == (
        "r",
        "custom_validation_failed",
        "low is above high",
    )


def test_an_unwrapped_literal_list_is_a_fault() -> None:
    fault = only_fault(photo=(LoadPhoto, {"name": ["a", "b", "c"]}))
    assert fault.code == "bad_linked_input"


def test_literal_lists_and_dicts_reach_the_node() -> None:
    checked = check(
        workflow(k=(Keep, {"value": {"__value__": ["photo", 0]}}), d=(Keep, {"value": {"a": [1]}})), REGISTRY
    )
    assert checked.nodes["k"].value == ["photo", 0]  # type: ignore[attr-defined]
    assert checked.nodes["d"].value == {"a": [1]}  # type: ignore[attr-defined]


def test_validating_changes_nothing() -> None:
    given = workflow(**GOOD, k=(Keep, {"value": {"deep": [1]}}))
    before = given.to_json()
    checked = check(given, REGISTRY)
    checked.nodes["k"].value["deep"].append(2)  # type: ignore[attr-defined]
    assert given.to_json() == before


def test_the_codes_do_not_depend_on_the_order_of_nodes() -> None:
    broken = {**GOOD, "blur": (Blur, {"image": "@photo.mask", "radius": 99})}
    forward = validate(workflow(**broken), REGISTRY)
    backward = validate(workflow(**dict(reversed(broken.items()))), REGISTRY)
    assert set(forward) == set(backward)


def test_types_are_checked_without_an_environment(tmp_path: Path) -> None:
    assert faults_of() == validate(workflow(**GOOD), REGISTRY, env=None) == []
    assert isinstance(Image("x"), Image)
