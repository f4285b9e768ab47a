"""``--set``: how values are read, and what is suggested for wrong names."""

import io
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image
from small import shipped

from run_graph.graph import Context, Field, Link, Node, NodeSpec, Outputs, Registry, Workflow, WorkflowError
from run_graph.nodes import NODES
from run_graph.runtime.cli.set_option import Applied, apply_settings
from run_graph.runtime.formats.source import Source

REGISTRY = Registry(NODES)


def apply(*settings: str, base: str = "redux", folders: tuple[Path, ...] = ()) -> Applied:
    return apply_settings(Source(shipped(base), folders), settings, REGISTRY)


def applied(*settings: str, folders: tuple[Path, ...] = ()) -> Workflow:
    return apply(*settings, folders=folders).workflow


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
    assert changed.workflow.nodes["pick"].inputs["channel"] == value


def test_an_id_may_contain_dots() -> None:
    workflow = shipped("redux")
    dotted = type(workflow)({"a.b": workflow.nodes["sample"]})
    changed = apply_settings(Source(dotted, ()), ["a.b.seed=3"], REGISTRY)
    assert changed.workflow.nodes["a.b"].inputs["seed"] == 3


def test_the_original_workflow_does_not_change_and_the_last_setting_wins() -> None:
    source = Source(shipped("redux"), ())
    changed = apply_settings(source, ["sample.seed=2", "sample.seed=3"], REGISTRY)
    assert source.workflow == shipped("redux")
    assert changed.workflow.nodes["sample"].inputs["seed"] == 3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sampel.seed=2", "there is no node 'sampel'. Did you mean 'sample'?"),
        ("sample.sed=2", "FluxSample has no input 'sed'. Did you mean 'seed'?"),
        ("zzz.seed=2", "there is no node 'zzz'. The nodes are photo, redux, flux"),
        ("sede=2", "no node has an input 'sede' that takes a value. Did you mean 'seed'?"),
        ("sample=2", "'sample' is a node: write sample.INPUT=VALUE."),
        ("photos=2", "run-graph FILE --inputs lists all that can be set."),
        ("model=tiny", "2 nodes have an input 'model'. Write one of redux.model, flux.model."),
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


# -- inputs without a node --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "place"),
    [("prompt=a fox", "prompt.prompt"), ("mode=low", "smaller.mode"), ("image=b.png", "photo.image")],
)
def test_an_input_that_only_one_node_has_needs_no_node(setting: str, place: str) -> None:
    node_id, name = place.split(".")
    assert applied(setting) == applied(f"{node_id}.{setting}")
    assert applied(setting).nodes[node_id].inputs[name] == setting.split("=")[1]


def test_a_linked_input_is_not_meant_by_its_name_alone() -> None:
    linked = shipped("two_references").with_input("smaller_2", "mode", ["photo", 0])
    changed = apply_settings(Source(linked, ()), ["mode=high"], REGISTRY).workflow
    assert changed.nodes["smaller"].inputs["mode"] == "high"
    assert changed.nodes["smaller_2"].inputs["mode"] == Link("photo", 0)
    linked = linked.with_input("smaller", "mode", ["photo", 0])
    with pytest.raises(WorkflowError, match=r"name the node: smaller\.mode, smaller_2\.mode"):
        apply_settings(Source(linked, ()), ["mode=high"], REGISTRY)


def test_a_long_list_of_candidates_says_that_it_is_cut() -> None:
    samplers = Workflow({f"s{number}": shipped("redux").nodes["sample"] for number in range(15)})
    with pytest.raises(WorkflowError, match=r"s11\.seed and 3 more\."):
        apply_settings(Source(samplers, ()), ["seed=1"], REGISTRY)


# -- random seeds -----------------------------------------------------------------------------------


def test_a_random_seed_is_a_number_that_is_told() -> None:
    result = apply("seed=random")
    seed = result.workflow.nodes["sample"].inputs["seed"]
    assert result.chosen == {"sample.seed": seed}
    assert 0 <= seed < 2**32
    assert len({apply("sample.seed=random").chosen["sample.seed"] for _ in range(4)}) > 1


def test_only_the_last_seed_counts() -> None:
    assert apply("seed=random", "sample.seed=3").chosen == {}


def test_only_seeds_can_be_random() -> None:
    result = apply("steps=random", "prompt=random")
    assert result.chosen == {}
    assert result.workflow.nodes["sample"].inputs["steps"] == "random"  # which validation refuses
    assert result.workflow.nodes["prompt"].inputs["prompt"] == "random"


# -- texts in files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a fox", "a fox"),
        (b"a fox\n", "a fox"),
        (b"\xef\xbb\xbfa fox\r\n\r\nin snow\r\n", "a fox\n\nin snow"),
        (b"@x, {1}", "@x, {1}"),
        (b"", ""),
    ],
)
def test_a_text_is_read_from_a_file(content: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_bytes(content)
    assert applied(f"prompt=@{path}").nodes["prompt"].inputs["prompt"] == text


def test_what_a_file_says_is_read_as_the_input_takes_it(tmp_path: Path) -> None:
    (tmp_path / "steps").write_text("12\n")
    assert applied(f"sample.steps=@{tmp_path / 'steps'}").nodes["sample"].inputs["steps"] == 12


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("a fox")
    assert applied("prompt=@~/a.txt").nodes["prompt"].inputs["prompt"] == "a fox"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a fox\n")))
    assert applied("prompt=@-").nodes["prompt"].inputs["prompt"] == "a fox"


def test_two_signs_are_the_text_itself() -> None:
    assert applied("prompt=@@home").nodes["prompt"].inputs["prompt"] == "@home"
    assert applied("prompt=at @home").nodes["prompt"].inputs["prompt"] == "at @home"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere.txt",
            'there is no file "nowhere.txt". Check the path; for the text itself write @@ in place',
        ),
        ("", 'there is no file ""'),
        (".", "cannot be read: Is a directory"),
        ("/dev/null", "cannot be read: it is a device"),
        ("latin.txt", "is not UTF-8 text (byte 1). Save it as UTF-8."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("fée".encode("latin-1"))
    with pytest.raises(WorkflowError) as caught:
        applied(f"prompt=@{name}")
    assert str(caught.value).startswith(f"--set 'prompt=@{name}': ")
    assert message in str(caught.value)


# -- pictures ---------------------------------------------------------------------------------------


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
