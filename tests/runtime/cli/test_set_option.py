"""``--set``: how values are read, and what is suggested for wrong names."""

from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image
from small import shipped

from run_graph.graph import Context, Field, Link, Node, NodeSpec, Outputs, Registry, Workflow, WorkflowError
from run_graph.nodes import NODES
from run_graph.runtime.cli.set_option import apply_settings
from run_graph.runtime.formats.source import Source

REGISTRY = Registry(NODES)


def applied(*settings: str, folders: tuple[Path, ...] = ()) -> Any:
    return apply_settings(Source(shipped("redux"), folders), settings, REGISTRY)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("sample.seed=2", 2),
        ("sample.guidance=2.5", 2.5),
        ("smaller.factor=2.5", 2.5),
        ("smaller.factor=null", None),
        ("smaller.mode=low", "low"),
        ("flux.quantize=4", 4),
        ("flux.quantize=none", "none"),
        ("prompt.prompt=42", "42"),
        ("prompt.prompt=null", "null"),
        ('prompt.prompt={"a": 1}', '{"a": 1}'),
        ("prompt.prompt=a=b, c.d=e", "a=b, c.d=e"),
        ("prompt.prompt=", ""),
        ('vision.image=["photo", 0]', Link("photo", 0)),
        ('vision.image=["photo", "image"]', Link("photo", "image")),
    ],
)
def test_the_type_of_the_input_decides_how_a_value_is_read(setting: str, value: Any) -> None:
    node_id, name = setting.split("=")[0].split(".")
    assert applied(setting).nodes[node_id].inputs[name] == value


def test_a_value_that_is_not_json_is_left_to_validation() -> None:
    assert applied("sample.steps=many").nodes["sample"].inputs["steps"] == "many"


class Channel(Outputs):
    number: str


class PickChannel(Node):
    """Choices that are text though they look like numbers."""

    channel: Literal["1", "2", "all"] = Field(description="Which.")

    def run(self, ctx: Context) -> Channel:
        return Channel(number=self.channel)


@pytest.mark.parametrize(("text", "value"), [("2", "2"), ("all", "all"), ("3", 3)])
def test_a_choice_that_looks_like_a_number_stays_text(text: str, value: Any) -> None:
    source = Source(Workflow({"pick": NodeSpec("PickChannel", {"channel": "1"})}), ())
    changed = apply_settings(source, [f"pick.channel={text}"], Registry([PickChannel]))
    assert changed.nodes["pick"].inputs["channel"] == value


def test_an_id_may_contain_dots() -> None:
    workflow = shipped("redux")
    dotted = type(workflow)({"a.b": workflow.nodes["sample"]})
    changed = apply_settings(Source(dotted, ()), ["a.b.seed=3"], REGISTRY)
    assert changed.nodes["a.b"].inputs["seed"] == 3


def test_the_original_workflow_does_not_change_and_the_last_setting_wins() -> None:
    source = Source(shipped("redux"), ())
    changed = apply_settings(source, ["sample.seed=2", "sample.seed=3"], REGISTRY)
    assert source.workflow == shipped("redux")
    assert changed.nodes["sample"].inputs["seed"] == 3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sampel.seed=2", "there is no node 'sampel'. Did you mean 'sample'?"),
        ("sample.sed=2", "FluxSample has no input 'sed'. Did you mean 'seed'?"),
        ("zzz.seed=2", "there is no node 'zzz'. The nodes are photo, redux, flux"),
        ("seed=2", "is not of the form NODE.INPUT=VALUE"),
        ("sample.seed", "is not of the form NODE.INPUT=VALUE"),
        (".seed=2", "is not of the form NODE.INPUT=VALUE"),
        ("sample.=2", "is not of the form NODE.INPUT=VALUE"),
        ("", "is not of the form NODE.INPUT=VALUE"),
    ],
)
def test_a_wrong_setting_is_reported_with_a_fix(setting: str, message: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        applied(setting)
    assert message in str(caught.value)
    assert f"--set {setting!r}" in str(caught.value)


def test_all_wrong_settings_are_reported_at_once() -> None:
    with pytest.raises(WorkflowError) as caught:
        applied("a.b=1", "sample.seed=2", "c")
    assert len(caught.value.faults) == 2


@pytest.fixture
def two_cats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """``cat.png`` beside the workflow, and another in the working directory."""
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside, here):
        folder.mkdir()
        Image.new("RGB", (4, 4)).save(folder / "cat.png")
    monkeypatch.chdir(here)
    return beside, here


def test_a_picture_in_the_working_directory_comes_first(two_cats: tuple[Path, Path]) -> None:
    beside, here = two_cats
    workflow = applied("photo.image=cat.png", folders=(beside, here))
    assert workflow.nodes["photo"].inputs["image"] == str(here / "cat.png")


def test_a_picture_that_is_only_beside_the_workflow_keeps_its_name(two_cats: tuple[Path, Path]) -> None:
    beside, here = two_cats
    (here / "cat.png").unlink()
    workflow = applied("photo.image=cat.png", folders=(beside, here))
    assert workflow.nodes["photo"].inputs["image"] == "cat.png"
