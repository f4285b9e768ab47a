"""``--sweep``: how values are read, and which faults are reported."""

import itertools
import time
from pathlib import Path

import pytest
from engine import ENVIRONMENT, workflow
from sample_nodes import REGISTRY, Blur, LoadPhoto, SavePhoto, Scale

from run_graph.graph import Fault, Link, NodeSpec, Workflow, WorkflowError, installed_nodes
from run_graph.graph.validation import check
from run_graph.runtime.cli.sweep_option import check_axes, read_axes
from run_graph.runtime.formats.source import Source
from run_graph.runtime.sweep.expansion import Axis


def pictures(folder: Path) -> Source:
    """A workflow in a folder, whose one node reads a picture."""
    workflow = Workflow.from_json({"photo": {"class_type": "LoadImage", "inputs": {}}})
    return Source(workflow, [folder, Path.cwd()])


def swept_pictures(source: Source, setting: str) -> tuple[object, ...]:
    return read_axes(source, [setting], installed_nodes())[0].values


def photos(**blur: object) -> Workflow:
    return workflow(
        photo=(LoadPhoto, {"name": "cat"}),
        blur=(Blur, {"image": "@photo", **blur}),
        scale=(Scale, {"image": "@blur"}),
        save=(SavePhoto, {"image": "@scale"}),
    )


def read(*settings: str, zipped: bool = False) -> tuple[Axis, ...]:
    return read_axes(Source(photos(), []), settings, REGISTRY, zipped=zipped)


def values(setting: str) -> tuple[object, ...]:
    return read(setting)[0].values


def faults_of(*settings: str, zipped: bool = False, base: Workflow | None = None) -> list[str]:
    """The messages of the faults that reading, then checking the values, finds."""
    base = base or photos()
    try:
        axes = read_axes(Source(base, []), settings, REGISTRY, zipped=zipped)
        check_axes(base, axes, REGISTRY, None, ENVIRONMENT, zipped=zipped)
    except WorkflowError as error:
        return [str(fault) for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("scale.width=16,32", (16, 32)),
        ("scale.width=16", (16,)),
        ("blur.radius=0.5,1,2e-1", (0.5, 1, 0.2)),
        ("blur.edge=clamp, wrap", ("clamp", "wrap")),
        ("photo.name=cat,a dog", ("cat", "a dog")),
        ("photo.name=1..3", ("1..3",)),
        ("photo.name=,cat", ("", "cat")),
        ("scale.width=14..16,32", (14, 15, 16, 32)),
        ("scale.width=-1..1", (-1, 0, 1)),
        ('photo.name=["a, b","c"]', ("a, b", "c")),
        ("photo.name=[cat", ("[cat",)),
        ("scale.width=[16, 32]", (16, 32)),
        ('blur.image=[["photo","image"],["photo",0]]', (Link("photo", "image"), Link("photo", 0))),
    ],
)
def test_the_type_of_the_input_decides_how_values_are_read(
    setting: str, expected: tuple[object, ...]
) -> None:
    assert values(setting) == expected
    assert [type(value) for value in values(setting)] == [type(value) for value in expected]


def test_a_picture_is_looked_for_in_the_working_directory_and_labelled_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    for name in ("cat.png", "here/cat.png"):
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path / "here")
    source = pictures(tmp_path)
    for setting in ("photo.image=cat.png", 'photo.image=["cat.png"]'):
        [axis] = read_axes(source, [setting], installed_nodes())
        assert axis.values == (str(tmp_path / "here" / "cat.png"),)
        assert axis.labels == ("cat",)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ("a/fox.png,a/cat.jpg", ("fox", "cat")),
        ("a/fox.png,b/cat.jpg,fox.jpg", ("fox.png", "cat", "fox.jpg")),
    ],
)
def test_a_picture_is_labelled_without_its_suffix_unless_two_have_the_same_name(
    names: str, labels: tuple[str, ...], tmp_path: Path
) -> None:
    [axis] = read_axes(pictures(tmp_path), [f"photo.image={names}"], installed_nodes())
    assert axis.labels == labels


def test_an_input_that_only_one_node_has_needs_no_node() -> None:
    [axis] = read("radius=1,2")
    assert (axis.place, axis.values) == ("blur.radius", (1, 2))


# -- values in files --------------------------------------------------------------------------------


def test_a_file_has_one_value_a_line(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeffa cat, asleep\r\n\r\n  a dog  \n@home\n".encode())
    assert values(f"photo.name=@{path}") == ("a cat, asleep", "a dog", "@home")


def test_a_file_may_stand_beside_other_values_and_its_lines_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "widths.txt"
    path.write_text("16\n18..20\n")
    assert values(f"scale.width=14,@{path}") == (14, 16, 18, 19, 20)


def test_two_signs_are_the_text_itself() -> None:
    assert values("photo.name=@@cat,dog") == ("@cat", "dog")
    assert values('photo.name=["@cat"]') == ("@cat",)


def test_a_file_without_values_or_that_is_missing_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n  \n")
    [message] = faults_of(f"photo.name=@{empty}")
    assert "which has no values. Write one on each line." in message
    [message] = faults_of("photo.name=@nowhere.txt")
    assert message.startswith("--sweep 'photo.name=@nowhere.txt': there is no file \"nowhere.txt\"")


# -- pictures in folders ----------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workflow's folder and, beside it, the working directory; both have pictures in ``refs``."""
    files = {
        "flow/refs": ("c.png", "d.png"),
        "flow/others": ("e.jpg",),
        "here/refs": ("b.jpg", "a.png", ".hidden.png", "notes.txt", "Z.PNG"),
        "here/refs/deep": ("f.png",),
        "here/empty": ("notes.txt",),
        "here": ("[1].png", "1.png"),
    }
    for folder, names in files.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (tmp_path / folder / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "flow"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("refs/*.png", ("refs/a.png",)),
        ("refs/*.[jp]*g", ("refs/a.png", "refs/b.jpg")),
        ("refs/?.png,others/*", ("refs/a.png", "others/e.jpg")),
        ("others/*.jpg", ("others/e.jpg",)),
        ("refs/**/f.png", ("refs/deep/f.png",)),
        ("refs", ("refs/Z.PNG", "refs/a.png", "refs/b.jpg")),
        ("refs/", ("refs/Z.PNG", "refs/a.png", "refs/b.jpg")),
        ("[1].png", ("[1].png",)),
        ("nowhere.png", ("nowhere.png",)),
        ('["refs/*.png"]', ("refs/*.png",)),
    ],
)
def test_a_pattern_or_a_folder_means_its_pictures(
    value: str, expected: tuple[str, ...], project: Path
) -> None:
    assert swept_pictures(pictures(project), f"photo.image={value}") == expected


def test_a_pattern_may_be_an_absolute_path_and_stand_in_a_file(project: Path) -> None:
    Path("list.txt").write_text(f"{project}/refs/*.png\nrefs/b.jpg\n")
    assert swept_pictures(pictures(project), "photo.image=@list.txt") == (
        f"{project}/refs/c.png",
        f"{project}/refs/d.png",
        "refs/b.jpg",
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("refs/*.webp", 'no file matches "refs/*.webp". Looked in '),
        ("empty", 'the folder "empty" has no pictures'),
        ("/nowhere/*.png", 'no file matches "/nowhere/*.png". Check the path.'),
    ],
)
def test_a_pattern_without_a_match_is_refused(value: str, words: str, project: Path) -> None:
    with pytest.raises(WorkflowError) as caught:
        swept_pictures(pictures(project), f"photo.image={value}")
    assert f"--sweep 'photo.image={value}': {words}" in str(caught.value)


# -- faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("blur.radius", "'blur.radius' is not of the form NODE.INPUT=VALUE or INPUT=VALUE"),
        ("blurr.radius=1", "there is no node 'blurr'. Did you mean 'blur'?"),
        ("blur.radios=1", "Blur has no input 'radios'. Did you mean 'radius'?"),
        ("blur.radius=", "gives no values"),
        ("blur.radius=[]", "lists no values"),
        ("scale.width=3..1", "counts down from 3 to 1. Write 1..3."),
        ("scale.width=1..99999999", "gives 99,999,999 values"),
        ("scale.width=16,32,16", "--sweep scale.width=16 is given twice"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(setting: str, words: str) -> None:
    [message] = faults_of(setting)
    assert "--sweep" in message
    assert words in message


def test_all_unreadable_settings_are_reported_at_once() -> None:
    assert len(faults_of("blurr.radius=1", "blur.radios=1", "scale.width=")) == 3


def test_an_input_swept_twice_is_refused() -> None:
    [message] = faults_of("blur.radius=1", "blur.radius=2")
    assert "blur.radius is given twice" in message


def test_too_many_combinations_are_refused_with_their_number() -> None:
    [message] = faults_of("scale.width=1..200", "blur.radius=" + ",".join(map(str, range(100))))
    assert "20,000 variants" in message


def test_a_zip_needs_the_same_number_of_values() -> None:
    [message] = faults_of("blur.radius=1,2", "scale.width=16,32,64", zipped=True)
    assert "blur.radius has 2, scale.width has 3" in message


def test_a_zip_may_repeat_values_but_not_pairs() -> None:
    assert faults_of("blur.radius=1,1", "scale.width=16,32", zipped=True) == []
    [message] = faults_of("blur.radius=1,1", "scale.width=16,16", zipped=True)
    assert "blur.radius=1, scale.width=16 is given twice" in message


def test_true_and_1_are_two_values() -> None:
    assert read("blur.radius=1,true")[0].values == (1, True)


def test_an_illegal_value_names_the_setting_and_the_node_in_the_file() -> None:
    [first, second] = faults_of("blur.radius=1,11", "scale.width=16,20,32")
    assert first.startswith(
        "node 'blur' (Blur), input 'radius': --sweep blur.radius=11: the value is too large"
    )
    assert second.startswith("node 'scale' (Scale), input 'width': --sweep scale.width=20: ")


def test_an_illegal_first_value_names_its_setting_only() -> None:
    [message] = faults_of("blur.edge=clmp,wrap", "scale.width=16,32")
    assert "--sweep blur.edge=clmp: " in message
    assert "scale.width" not in message


def test_a_fault_of_the_file_itself_is_reported_once_and_names_no_setting() -> None:
    [message] = faults_of("scale.width=16,32,64", base=photos(edge="sideways"))
    assert message.startswith("node 'blur' (Blur), input 'edge': the value is not one of those allowed")


def test_a_link_to_nowhere_names_the_setting() -> None:
    [message] = faults_of('save.image=[["scale",0],["scael",0]]')
    assert "--sweep save.image=scael.0: the link leads to node 'scael'" in message


def test_a_zip_is_checked_pair_by_pair() -> None:
    [message] = faults_of("blur.radius=1,11", "scale.width=16,32", zipped=True)
    assert "--sweep blur.radius=11: " in message


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        ["scale.width=16,32,48"],
        ["scale.width=17,32,48"],
        ["scale.width=16,33,-1"],
        ["scale.width=16,33,48", "blur.radius=1,99,2"],
        ["blur.edge=clamp,warp,wrap", "blur.radius=99,1,-1"],
        ["photo.name=cat,missing.png,dog", "scale.width=1,16,2"],
        ['blur.image=[["photo", 0], ["save", 0], ["nobody", 0]]'],
        ['blur.image=[["scale", 0], ["photo", 0], ["photo", 1]]', "blur.radius=99,1,2"],
        ["unused.radius=99,100,101"],
    ],
)
def test_checking_what_a_value_changes_finds_what_checking_everything_finds(
    settings: list[str], zipped: bool
) -> None:
    base = Workflow({**photos().nodes, "unused": NodeSpec("Blur", {"image": Link("photo")})})
    axes = read_axes(Source(base, []), settings, REGISTRY, zipped=zipped)
    every = [range(len(axis.values)) for axis in axes]
    choices = list(zip(*every, strict=True)) if zipped else list(itertools.product(*every))
    expected = set()
    for choice in choices:
        tried = base
        for axis, position in zip(axes, choice, strict=True):
            tried = tried.with_input(axis.node_id, axis.input, axis.values[position])
        expected |= {place_of(fault) for fault in check(tried, REGISTRY, env=ENVIRONMENT).faults}
    found: list[Fault] = []
    try:
        check_axes(base, axes, REGISTRY, None, ENVIRONMENT, zipped=zipped)
    except WorkflowError as error:
        found = list(error.faults)
    assert {place_of(fault) for fault in found} == expected
    assert len(found) == len(expected)


def place_of(fault: Fault) -> tuple[str | None, ...]:
    return fault.code, fault.node_id, fault.input, fault.found


def test_many_values_in_a_large_workflow_are_checked_in_linear_time() -> None:
    others = {f"scale{i}": NodeSpec("Scale", {"image": Link("photo")}) for i in range(300)}
    sinks = {f"save{i}": NodeSpec("SavePhoto", {"image": Link(f"scale{i}")}) for i in range(300)}
    base = Workflow({**photos().nodes, **others, **sinks})
    axes = read_axes(
        Source(base, []), ["blur.radius=[" + ",".join(str(i / 1000) for i in range(4000)) + "]"], REGISTRY
    )
    started = time.process_time()
    check_axes(base, axes, REGISTRY, None, ENVIRONMENT)
    assert time.process_time() - started < 2, "600 nodes 4,000 times take half a minute"
