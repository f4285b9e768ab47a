"""A workflow comes from a JSON file or from a picture; a file without one is named with the fix."""

import json
from pathlib import Path

import pytest
from PIL import ExifTags, Image, PngImagePlugin
from small import shipped

from run_graph.graph import WorkflowError
from run_graph.runtime.formats.source import read_source
from run_graph.runtime.images.exif import exif_data


def picture(folder: Path, name: str = "a.png", text: dict[str, str] | None = None, **options: object) -> Path:
    chunks = PngImagePlugin.PngInfo()
    for keyword, value in (text or {}).items():
        chunks.add_text(keyword, value)
    if name.endswith(".png"):
        options["pnginfo"] = chunks
    Image.new("RGB", (8, 8)).save(folder / name, **options)
    return folder / name


def fault(path: Path) -> str:
    with pytest.raises(WorkflowError) as caught:
        read_source(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_inputs_are_searched_for_beside_a_workflow_file_and_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.json").write_text(shipped("redux").dumps())
    source = read_source(Path("sub/a.json"))
    assert source.workflow == shipped("redux")
    assert [folder.resolve() for folder in source.folders] == [tmp_path / "sub", tmp_path]


def test_inputs_of_a_picture_are_searched_for_beside_it_and_then_where_its_run_found_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    text = {"prompt": shipped("redux").dumps(), "run_graph": '{"input_directories": ["../in", 7]}'}
    source = read_source(picture(tmp_path, text=text))
    assert source.workflow == shipped("redux")
    assert list(source.folders) == [tmp_path, tmp_path / "../in", Path("/")]


@pytest.mark.parametrize("settings", [None, "", "nonsense", "[]", '{"input_directories": 3}'])
def test_a_picture_by_comfyui_needs_no_settings_of_ours(tmp_path: Path, settings: str | None) -> None:
    text = {"prompt": shipped("redux").dumps()}
    if settings is not None:
        text["run_graph"] = settings
    assert read_source(picture(tmp_path, text=text)).workflow == shipped("redux")


def test_the_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    path = picture(tmp_path, text={"prompt": shipped("redux").dumps()})
    assert read_source(path.rename(tmp_path / "A.PNG")).workflow == shipped("redux")


OLD = """{"photo": {"class_type": "LoadImage", "inputs": {"image": "fox.png"}},
    "save": {"class_type": "SaveImage", "inputs": {"image": ["photo", 0]}}}"""


@pytest.mark.parametrize("kind", ["workflow file", "picture"])
def test_what_version_0_1_wrote_is_read_with_a_note(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(OLD)
    source = read_source(path if kind == "workflow file" else picture(tmp_path, text={"prompt": OLD}))
    assert list(source.workflow.nodes["save"].inputs) == ["images", "filename_prefix"]
    [note] = source.notes
    assert note.startswith("written for version 0.1: ")


def test_there_are_no_notes_on_files_of_this_version(tmp_path: Path) -> None:
    assert read_source(picture(tmp_path, text={"prompt": shipped("redux").dumps()})).notes == ()


def test_a_picture_without_a_workflow_is_named_with_the_fix(tmp_path: Path) -> None:
    message = fault(picture(tmp_path))
    assert "the picture carries no workflow. Give a picture that run-graph" in message


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_mfluxs_settings_become_the_workflow_that_they_mean(tmp_path: Path, name: str) -> None:
    path = picture(tmp_path, name, exif=exif_data({"prompt": "a fox", "seed": 7}))
    inputs = [spec.inputs for spec in read_source(path).workflow.nodes.values()]
    assert [found["prompt"] for found in inputs if "prompt" in found] == ["a fox"]
    assert [found["seed"] for found in inputs if "seed" in found] == [7]


SETTINGS = json.dumps({"prompt": "a fox, 日本", "seed": 7})


def commented(comment: bytes) -> bytes:
    """EXIF data with this UserComment."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return exif.tobytes()


@pytest.mark.parametrize(
    "comment",
    [
        b"ASCII\0\0\0" + SETTINGS.encode(),
        b"UNICODE\0" + SETTINGS.encode("utf-16-be"),
        b"UNICODE\0" + SETTINGS.encode("utf-16-le"),
        b"\0" * 8 + SETTINGS.encode(),
        SETTINGS.encode(),
    ],
    ids=["ASCII", "UTF-16 BE", "UTF-16 LE", "undefined", "without a code"],
)
def test_settings_are_read_in_every_character_code_of_exif(tmp_path: Path, comment: bytes) -> None:
    workflow = read_source(picture(tmp_path, "a.jpg", exif=commented(comment))).workflow
    prompts = [spec.inputs["prompt"] for spec in workflow.nodes.values() if "prompt" in spec.inputs]
    assert prompts == ["a fox, 日本"]


def test_a_prompt_in_plain_words_does_not_hide_the_settings(tmp_path: Path) -> None:
    path = picture(tmp_path, text={"prompt": "a fox"}, exif=exif_data({"prompt": "a cat", "seed": 7}))
    workflow = read_source(path).workflow
    assert "a cat" in [spec.inputs.get("prompt") for spec in workflow.nodes.values()]


def test_a_prompt_in_plain_words_alone_is_named(tmp_path: Path) -> None:
    assert "line 1, column 1" in fault(picture(tmp_path, text={"prompt": "a fox"}))


EDITOR = {
    "nodes": [
        {"id": 3, "type": "LoadImage", "widgets_values": ["fox.png", "image"]},
        {"id": 5, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 1}]},
    ],
    "links": [[1, 3, 0, 5, 0, "IMAGE"]],
}
CONVERTED = {
    "3": {"class_type": "LoadImage", "inputs": {"image": "fox.png"}},
    "5": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "ComfyUI"}},
}


def in_exif(documents: dict[str, str]) -> dict[str, bytes]:
    """The options that save documents in a WebP as ComfyUI does: in fields of its EXIF data."""
    exif = Image.Exif()
    fields = {"prompt": ExifTags.Base.Model, "workflow": ExifTags.Base.Make}
    for name, text in documents.items():
        exif[fields[name]] = f"{name}:{text}"
    return {"exif": exif.tobytes()}


@pytest.mark.parametrize("kind", ["workflow file", "a.png", "a.webp"])
def test_comfyuis_editor_format_is_converted(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.json"
    text = json.dumps(EDITOR)
    if kind == "workflow file":
        path.write_text(text)
    elif kind == "a.png":
        path = picture(tmp_path, kind, text={"workflow": text})
    else:
        path = picture(tmp_path, kind, **in_exif({"workflow": text}))
    source = read_source(path)
    assert source.workflow.to_json() == CONVERTED
    assert source.notes == (
        'written for another version of ComfyUI: filled in 5.filename_prefix = "ComfyUI"',
    )


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_of_both_formats_in_a_picture_the_one_that_ran_is_read(tmp_path: Path, name: str) -> None:
    text = {"workflow": json.dumps(EDITOR), "prompt": shipped("redux").dumps()}
    options: dict[str, object] = {"text": text} if name == "a.png" else dict(in_exif(text))
    assert read_source(picture(tmp_path, name, **options)).workflow == shipped("redux")


def test_a_prompt_in_plain_words_does_not_hide_the_editor_format(tmp_path: Path) -> None:
    text = {"workflow": json.dumps(EDITOR), "prompt": "a fox"}
    assert read_source(picture(tmp_path, text=text)).workflow.to_json() == CONVERTED


def test_the_editor_format_under_the_name_of_the_other_is_converted(tmp_path: Path) -> None:
    assert read_source(picture(tmp_path, text={"prompt": json.dumps(EDITOR)})).workflow.to_json() == CONVERTED


def test_a_damaged_workflow_in_a_picture_is_named_with_the_place(tmp_path: Path) -> None:
    message = fault(picture(tmp_path, text={"prompt": '{"a": '}))
    assert "line 1, column" in message


def test_a_picture_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = picture(tmp_path)
    path.write_bytes(path.read_bytes()[:20])
    assert fault(path)


def test_text_that_calls_itself_a_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    assert "not a picture" in fault(tmp_path / "a.png")


def test_a_missing_picture_is_a_missing_file(tmp_path: Path) -> None:
    picture(tmp_path, "fox.png")
    assert "there is no such file. Did you mean 'fox.png'?" in fault(tmp_path / "fxo.png")
