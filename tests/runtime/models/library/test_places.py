"""Which folders are searched: options, the environment, configuration files, ComfyUI's own file."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from run_graph.runtime.models.library.places import CATEGORIES, missing_places, places
from run_graph.runtime.models.library.settings import (
    FILE,
    VARIABLE,
    FolderSettingsError,
    also_searching,
    named_places,
)

Make = Callable[..., Path]


def folders(category: str) -> list[str]:
    """Where a kind of model is looked for, relative to the working directory."""
    return [os.path.relpath(place.folder) for place in places() if place.category == category]


def test_options_come_first_then_the_environment_then_the_configuration_files(
    made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("a", "b", "c", "d", "e"):
        made(f"{name}/loras", "x.safetensors")
    monkeypatch.setenv(VARIABLE, os.pathsep.join(["b", str(tmp_path / "c")]))
    (tmp_path / FILE).write_text('models = ["d"]')
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / FILE).write_text('models = ["../e", "../b"]')
    with also_searching([Path("a")]):
        assert folders("loras") == [f"{name}/loras" for name in "abcde"]
        assert [named.origin for named in named_places()][:3] == [VARIABLE] * 3
    assert folders("loras") == [f"{name}/loras" for name in "bcde"]


def test_a_changed_configuration_file_is_read_again(made: Make, tmp_path: Path) -> None:
    made("a/vae", "x.safetensors")
    assert folders("vae") == []
    (tmp_path / FILE).write_text('models = ["a"]')
    assert folders("vae") == ["a/vae"]
    (tmp_path / FILE).write_text("models = [] # none")
    assert folders("vae") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models = 'a'", "is not a list of folders; write it as models = "),
        ("models = [1]", "is not a list of folders"),
        ("model = ['a']", "the unknown entry 'model'; the only one is models"),
        ("models = [", "cannot be read as TOML"),
    ],
)
def test_a_wrong_configuration_file_is_told(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(FolderSettingsError) as caught:
        places()
    assert words in str(caught.value)
    assert str(tmp_path / FILE) in str(caught.value)


def test_comfyuis_folder_its_models_and_old_names(made: Make) -> None:
    made("ComfyUI/models", "unet/a.sft", "diffusion_models/b.sft", "clip/c.sft", "text_encoders/d.sft")
    for named in ("ComfyUI", "ComfyUI/models"):
        with also_searching([Path(named)]):
            assert folders("diffusion_models") == [
                "ComfyUI/models/unet",
                "ComfyUI/models/diffusion_models",
            ]
            assert folders("text_encoders") == ["ComfyUI/models/clip", "ComfyUI/models/text_encoders"]
            assert folders("vae") == []


def test_a_folder_without_subfolders_serves_every_kind(made: Make) -> None:
    made("flat", "flux1-dev.safetensors")
    with also_searching([Path("flat")]):
        assert {place.category for place in places()} == set(CATEGORIES)
        assert folders("vae") == ["flat"]


EXTRA = """
a111:
  base_path: stable
  checkpoints: models/Stable-diffusion
  loras: |
    models/Lora

    models/LyCORIS
  configs: models/Stable-diffusion
other:
empty:
  base_path: $SOMEWHERE/els
  is_default: true
  loras: ./loras
  unet: /absolute
plain:
  clip: beside
"""


def test_extra_model_paths_are_read_as_comfyui_reads_them(
    made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    made("ComfyUI/models", "loras/x.sft")
    (tmp_path / "ComfyUI" / "extra_model_paths.yaml").write_text(EXTRA)
    for named in ("ComfyUI", "ComfyUI/models", "ComfyUI/extra_model_paths.yaml"):
        with also_searching([Path(named)]):
            own = [] if named.endswith("yaml") else ["ComfyUI/models/loras"]
            extra = ["ComfyUI/stable/models/Lora", "ComfyUI/stable/models/LyCORIS"]
            assert folders("loras") == [*own, "els/loras", *extra]
            assert folders("checkpoints") == ["ComfyUI/stable/models/Stable-diffusion"]
            assert folders("text_encoders") == ["ComfyUI/beside"]
            assert Path("/absolute") in [place.folder for place in places()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "cannot be read as YAML"),
        ("- a", "is not a list of groups"),
        ("a: 1", "a is not a group of folders"),
        ("a: {loras: [x]}", "a.loras is not a folder, or several on a line each"),
        ("a: {base_path: 1}", "a.base_path is not a folder"),
    ],
)
def test_a_wrong_file_of_extra_paths_is_told(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "extra.yaml"
    file.write_text(text)
    with also_searching([file]), pytest.raises(FolderSettingsError) as caught:
        places()
    assert words in str(caught.value)
    assert str(file) in str(caught.value)


def test_what_is_named_and_not_there_is_known(made: Make, tmp_path: Path) -> None:
    made("here", "a.sft")
    with also_searching([Path("here"), Path("gone")]):
        assert [named.path for named in missing_places()] == [tmp_path / "gone"]
        assert folders("vae") == ["here"]
