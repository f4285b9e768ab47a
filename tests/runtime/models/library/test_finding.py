"""A workflow's name for a model finds its file in any letter case, subfolder and notation, or nothing."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from run_graph.runtime.errors import LoraError, UnknownModelError
from run_graph.runtime.files.inputs import find_input
from run_graph.runtime.models.library.finding import files, find, what_is_there
from run_graph.runtime.models.lora_files import resolve_lora

Make = Callable[..., Path]


@pytest.fixture
def models(made: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = made(
        "models",
        "unet/flux1-dev.safetensors",
        "diffusion_models/FLUX/Flux1-Schnell.safetensors",
        "diffusion_models/FLUX/krea/same.sft",
        "diffusion_models/other/same.sft",
        "diffusion_models/.hidden/flux1-hidden.safetensors",
        "diffusion_models/._flux1-dev.safetensors",
        "diffusion_models/readme.txt",
        "vae/ae.safetensors",
        "vae/flux1-dev.safetensors",
        "loras/style/Ink.safetensors",
    )
    monkeypatch.setenv("RUN_GRAPH_MODELS", str(folder))
    return folder


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("flux1-dev.safetensors", "unet/flux1-dev.safetensors"),
        ("FLUX1-DEV.safetensors", "unet/flux1-dev.safetensors"),
        ("flux1-dev", "unet/flux1-dev.safetensors"),
        ("FLUX\\flux1-schnell.safetensors", "diffusion_models/FLUX/Flux1-Schnell.safetensors"),
        ("flux/flux1-schnell.safetensors", "diffusion_models/FLUX/Flux1-Schnell.safetensors"),
        ("flux1-schnell.safetensors", "diffusion_models/FLUX/Flux1-Schnell.safetensors"),
        ("elsewhere\\flux1-dev.safetensors", "unet/flux1-dev.safetensors"),
        ("other/same.sft", "diffusion_models/other/same.sft"),
        ("ae.safetensors", "vae/ae.safetensors"),  # of another kind of folder
    ],
)
def test_a_name_finds_its_file(name: str, file: str, models: Path) -> None:
    found = find(name, ["diffusion_models"])
    assert found is not None
    assert found.path == models / file


@pytest.mark.parametrize(
    "name", ["", "flux1-hidden.safetensors", "flux1", "readme.txt", "../vae/ae.safetensors"]
)
def test_no_other_name_finds_anything(name: str, models: Path) -> None:
    assert find(name, ["diffusion_models"]) is None


def test_the_kind_that_is_asked_for_comes_first(models: Path) -> None:
    found = find("flux1-dev.safetensors", ["vae"])
    assert found is not None
    assert found.path == models / "vae/flux1-dev.safetensors"


def test_a_name_in_two_subfolders_is_told_unless_both_are_one_file(models: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"'same.sft' is in several folders"):
        find("same.sft", ["diffusion_models"])
    (models / "diffusion_models/other/same.sft").unlink()
    os.symlink(models / "diffusion_models/FLUX/krea/same.sft", models / "diffusion_models/other/same.sft")
    assert find("same.sft", ["diffusion_models"]) is not None


def test_links_are_followed_and_never_in_a_circle(models: Path, made: Make) -> None:
    os.symlink(models, models / "vae" / "loop")
    os.symlink(made("disk", "far.safetensors"), models / "vae" / "linked")
    names = [found.name for found in files("vae")]
    assert "linked/far.safetensors" in names
    assert len(names) == len(set(names)) < 30


def test_a_message_lists_the_folders_and_their_files(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = what_is_there(["diffusion_models", "style_models"])
    assert told.startswith(
        f"Looked in {models / 'unet'} (flux1-dev.safetensors); {models / 'diffusion_models'} ("
    )
    assert told.endswith("; 2 other folders of models")
    assert what_is_there(["style_models"], elsewhere=False) == "No folder of this kind of model is there"
    monkeypatch.delenv("RUN_GRAPH_MODELS")
    assert what_is_there(["style_models"]).startswith("No folder of models is named")


def test_loras_are_found_too(models: Path, tmp_path: Path) -> None:
    def find_file(name: str) -> Path:
        return find_input(name, [tmp_path])

    for name in ("ink.safetensors", "Style\\ink.safetensors", "ink"):
        assert resolve_lora(name, find_file).path == models / "loras/style/Ink.safetensors"
    with pytest.raises(LoraError) as caught:
        resolve_lora("pen.safetensors", find_file)
    assert "no file 'pen.safetensors'" in str(caught.value)
    assert f"Looked in {models / 'loras'} (style/Ink.safetensors)" in str(caught.value)
