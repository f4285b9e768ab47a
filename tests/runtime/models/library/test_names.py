"""Names of models lead to files in the user's folders, whatever they hold, and else to published models."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_layouts import COMFYUI_FOLDERS, published, write, write_models_folder

from run_graph.runtime.cli.main import main
from run_graph.runtime.errors import CheckpointError, UnknownModelError
from run_graph.runtime.models import checkpoints
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.known_files import STYLE_MODEL, TEXT_ENCODER, TRANSFORMER, VAE, VISION
from run_graph.runtime.models.library.contents import model_files
from run_graph.runtime.models.library.finding import files
from run_graph.runtime.models.names import (
    resolve,
    resolve_both_text_encoders,
    resolve_flux_model,
    resolve_redux_model,
    resolve_text_encoders,
    resolve_whole,
)
from run_graph.runtime.models.resolution import from_files, resolve_flux, resolve_redux
from run_graph.runtime.models.tiny import TINY_FOLDER


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models_folder(tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(autouse=True)
def models(comfyui: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUN_GRAPH_MODELS", str(comfyui))
    return comfyui


def held(checkpoint: Checkpoint) -> dict[str, str]:
    """The names of a checkpoint's single files by what they hold."""
    return {component: path.name for component, path in checkpoint.files}


@pytest.mark.parametrize(
    ("role", "name", "component", "file"),
    [
        (TRANSFORMER, "flux1-dev.safetensors", "transformer", "flux1-dev.safetensors"),
        (TRANSFORMER, "flux\\FLUX1-Dev.safetensors", "transformer", "flux1-dev.safetensors"),
        (TRANSFORMER, "everything.safetensors", "transformer", "everything.safetensors"),
        (TEXT_ENCODER, "t5xxl_fp16.safetensors", "text_encoder_2", "t5xxl_fp16.safetensors"),
        (VAE, "renamed.sft", "vae", "Renamed.SFT"),
        (VISION, "sigclip_vision_patch14_384", "image_encoder", "sigclip_vision_patch14_384.safetensors"),
        (STYLE_MODEL, "flux1-redux-dev.safetensors", "image_embedder", "flux1-redux-dev.safetensors"),
    ],
)
def test_a_loader_reads_the_file_that_is_there(role: Any, name: str, component: str, file: str) -> None:
    assert held(resolve(role, name)) == {component: file}


def test_a_file_with_something_else_is_refused_by_what_it_holds(models: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        resolve(TRANSFORMER, "ae.safetensors")
    assert str(caught.value).startswith(f"{models / 'vae/ae.safetensors'} holds FLUX.1's autoencoder;")
    with pytest.raises(CheckpointError, match="holds none of FLUX"):
        resolve(VAE, "other.safetensors")
    with pytest.raises(CheckpointError, match="LoadFlux needs the file of a FLUX"):
        resolve_flux_model("ae.safetensors")


def test_names_that_are_no_files_mean_what_they_meant() -> None:
    for name in ("tiny", "dev", "someone/merge"):
        assert resolve(TRANSFORMER, name) == resolve_flux_model(name) == resolve_flux(name)
    assert resolve(TRANSFORMER, "flux1-schnell.safetensors") == resolve_flux("schnell")
    assert resolve_flux_model("flux1-krea-dev_fp8_scaled.safetensors") == resolve_flux("krea-dev")
    assert resolve_redux_model("dev-redux") == resolve_redux("dev-redux")


def test_one_message_says_what_was_sought_where_and_what_is_there(models: Path) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve(VAE, "taesd.safetensors")
    message = str(caught.value)
    assert message.startswith("There is no file 'taesd.safetensors' for FLUX.1's autoencoder. Looked in ")
    assert f"{models / 'vae'} (Renamed.SFT, ae.safetensors, other.safetensors)" in message
    assert "Well-known files, which are downloaded where they are missing, are ae_tiny, ae" in message
    with pytest.raises(UnknownModelError, match=r"Did you mean 'schnell'.*Looked in"):
        resolve_flux_model("shnell")


def test_text_encoders_from_two_files_in_either_order() -> None:
    names = ["t5xxl_fp16.safetensors", "clip_l.safetensors"]
    for first, second in (names, names[::-1]):
        found = held(resolve_text_encoders(first, second))
        assert found == {"text_encoder_2": names[0], "text_encoder": names[1]}
    both = resolve_text_encoders("everything.safetensors", "everything.safetensors")
    assert held(both) == dict.fromkeys(("text_encoder", "text_encoder_2"), "everything.safetensors")
    assert held(resolve_both_text_encoders("everything.safetensors")).keys() == held(both).keys()


def test_one_text_encoder_from_a_file_and_one_published(models: Path) -> None:
    (models / "text_encoders/clip_l.safetensors").rename(models / "clip_l")
    try:
        found = resolve_text_encoders("t5xxl_fp16.safetensors", "clip_l.safetensors")
        assert held(found) == {"text_encoder_2": "t5xxl_fp16.safetensors"}
        assert found.rest == resolve_flux("schnell")
    finally:
        (models / "clip_l").rename(models / "text_encoders/clip_l.safetensors")


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("clip_l.safetensors", "CLIP_L.safetensors", r"are both a CLIP text encoder; FLUX.1 needs T5"),
        ("t5xxl_fp16.safetensors", "t5xxl_fp8_e4m3fn.safetensors", r"are both a T5 .*; FLUX.1 needs CLIP"),
    ],
)
def test_one_text_encoder_named_twice_is_refused(first: str, second: str, said: str) -> None:
    with pytest.raises(UnknownModelError, match=said):
        resolve_text_encoders(first, second)
    with pytest.raises(UnknownModelError, match="DualCLIPLoader"):
        resolve_both_text_encoders(first)


def test_a_whole_model_in_one_file() -> None:
    transformer, others = resolve_whole("everything.safetensors")
    assert held(transformer) == {"transformer": "everything.safetensors"}
    assert set(held(others)) == {"text_encoder", "text_encoder_2", "vae"}


def test_the_other_files_of_a_model_are_found_beside_its_transformer() -> None:
    found = held(resolve_flux_model("flux1-dev.safetensors"))
    assert set(found.values()) == {name for name, place in COMFYUI_FOLDERS.items() if "redux" not in name} - {
        "sigclip_vision_patch14_384.safetensors"
    }
    assert set(held(resolve_redux_model("flux1-redux-dev.safetensors"))) == {
        "image_encoder",
        "image_embedder",
    }


def test_of_several_precisions_the_largest_is_taken_and_no_unknown_name(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = {name: array.astype(np.float16) for name, array in published("text_encoder_2").items()}
    write(tmp_path / "text_encoders" / "t5xxl_fp8_e4m3fn.safetensors", half)
    write(tmp_path / "text_encoders" / "t5xxl_bf16.safetensors", published("text_encoder_2"))
    write(tmp_path / "text_encoders" / "mine.safetensors", published("text_encoder"))
    monkeypatch.setenv("RUN_GRAPH_MODELS", str(tmp_path))
    path = models / "diffusion_models/FLUX/flux1-dev.safetensors"
    assert set(held(resolve_flux_model(str(path))).values()) == {path.name, "t5xxl_bf16.safetensors"}


def test_text_encoders_are_not_downloaded_again_for_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def cached(repo: str, revision: str | None, parts: Any) -> Path | None:
        return Path("cache") if repo.endswith("FLUX.1-dev") else None

    monkeypatch.setattr(checkpoints, "cached", cached)
    dev = resolve_flux("dev")
    monkeypatch.setenv("RUN_GRAPH_MODELS", "")
    assert resolve(VAE, "ae.safetensors") == dev
    assert resolve_text_encoders("t5xxl_fp16.safetensors", "clip_l.safetensors") == dev
    assert resolve_whole("flux1-schnell-fp8.safetensors") == (resolve_flux("schnell"), dev)


def test_identity_is_that_of_the_contents(models: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((models / "vae/ae.safetensors").read_bytes())
    first, second = resolve(VAE, "ae.safetensors"), from_files("copy", [copy]).of("vae")
    assert first.identity == second.identity
    assert first.identity != resolve(VISION, "sigclip_vision_patch14_384.safetensors").identity


def test_a_models_folder_is_one_entry_and_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(TINY_FOLDER, tmp_path / "diffusion_models" / "mine" / "Small-Flux")
    monkeypatch.setenv("RUN_GRAPH_MODELS", str(tmp_path))
    folder = tmp_path / "diffusion_models" / "mine" / "Small-Flux"
    assert [found.path for found in files()] == [folder]
    for name in ("small-flux", "mine\\small-flux", "Small-Flux"):
        assert resolve_flux_model(name).folder == resolve(VAE, name).folder == folder
    assert resolve_text_encoders("small-flux", "Small-Flux").folder == folder
    assert resolve_redux_model("small-flux").folder == folder
    assert main(["--save-model", str(tmp_path / "vae" / "packed"), "--set", "flux.quantize=4"]) == 0
    packed, listed = sorted(model_files(), key=lambda each: each.file.name)[::-1]
    assert (packed.precision, packed.family) == ("4 bits", "tiny")
    assert listed.kind == "transformer + T5 + CLIP + autoencoder + SigLIP + Redux"
    assert (listed.precision, listed.family) == ("bfloat16", "tiny")
    assert listed.nbytes == sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
