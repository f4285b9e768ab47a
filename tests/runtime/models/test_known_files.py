"""ComfyUI's file names lead to the checkpoints that native loaders use."""

from pathlib import Path

import pytest

from run_graph.runtime.errors import CheckpointError, UnknownModelError
from run_graph.runtime.models.checkpoint_facts import shifts_sigmas
from run_graph.runtime.models.known_files import (
    STYLE_MODEL,
    T5,
    TEXT_ENCODER,
    TRANSFORMER,
    VAE,
    VISION,
    Role,
    bits_in_name,
)
from run_graph.runtime.models.names import (
    resolve,
    resolve_both_text_encoders,
    resolve_text_encoders,
    resolve_whole,
)
from run_graph.runtime.models.resolution import resolve_flux, resolve_redux

ROLES = [TRANSFORMER, TEXT_ENCODER, VAE, VISION, STYLE_MODEL]


@pytest.mark.parametrize(
    ("role", "name", "model"),
    [
        (TRANSFORMER, "flux1-dev.safetensors", "dev"),
        (TRANSFORMER, "flux1-dev.sft", "dev"),
        (TRANSFORMER, "FLUX/flux1-dev-fp8.safetensors", "dev"),
        (TRANSFORMER, "FLUX\\Flux1-Dev_fp8_e4m3fn.safetensors", "dev"),
        (TRANSFORMER, "flux1-krea-dev_fp8_scaled.safetensors", "krea-dev"),
        (TRANSFORMER, "flux1-schnell.safetensors", "schnell"),
        (TRANSFORMER, "flux1-tiny.safetensors", "tiny"),
        (TRANSFORMER, "flux1-tiny-schnell.safetensors", "tiny-schnell"),
        (TEXT_ENCODER, "clip_l.safetensors", "schnell"),
        (TEXT_ENCODER, "t5xxl_fp16.safetensors", "schnell"),
        (TEXT_ENCODER, "t5/t5xxl_fp8_e4m3fn_scaled.safetensors", "schnell"),
        (TEXT_ENCODER, "t5xxl_tiny.safetensors", "tiny"),
        (TRANSFORMER, "flux1-schnell-Q4_K_S.gguf", "schnell"),
        (TRANSFORMER, "FLUX1/flux1-dev-F16.gguf", "dev"),
        (TEXT_ENCODER, "t5-v1_1-xxl-encoder-Q8_0.gguf", "schnell"),
        (VAE, "ae.safetensors", "schnell"),
        (VAE, "ae.sft", "schnell"),
        (VAE, "ae_tiny", "tiny"),
    ],
)
def test_known_files_are_flux_models_that_have_their_weights(role: Role, name: str, model: str) -> None:
    assert resolve(role, name) == resolve_flux(model)


@pytest.mark.parametrize(
    ("role", "name", "model"),
    [
        (VISION, "sigclip_vision_patch14_384.safetensors", "dev-redux"),
        (VISION, "sigclip_vision_tiny.safetensors", "tiny"),
        (STYLE_MODEL, "flux1-redux-dev.safetensors", "dev-redux"),
        (STYLE_MODEL, "flux1-redux-tiny.safetensors", "tiny"),
    ],
)
def test_known_files_are_redux_models_that_have_their_weights(role: Role, name: str, model: str) -> None:
    assert resolve(role, name) == resolve_redux(model)


@pytest.mark.parametrize("role", ROLES)
def test_models_names_repositories_and_folders_are_taken_as_native_loaders_take_them(
    role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "merge").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "someone/merge", "merge", "./merge", str(tmp_path / "merge")):
        assert resolve(role, name) == role.resolve(name)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "name", ["other.safetensors", "folder/other.safetensors", "other", "", "flux1-dev-2.safetensors"]
)
def test_another_name_gets_the_list_of_those_that_are_known(role: Role, name: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve(role, name)
    assert repr(name) in str(caught.value)
    assert all(file in str(caught.value) for file in role.files)


def test_a_path_is_not_taken_for_a_known_file(tmp_path: Path) -> None:
    file = tmp_path / "flux1-dev.safetensors"
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        resolve(TRANSFORMER, str(file))
    assert bits_in_name(str(tmp_path / "flux1-dev-fp8.safetensors")) is None


def test_two_files_of_one_model_are_its_text_encoders_in_either_order() -> None:
    schnell = resolve_flux("schnell")
    assert resolve_text_encoders("t5xxl_fp16.safetensors", "clip_l.safetensors") == schnell
    assert resolve_text_encoders("clip_l.safetensors", "t5xxl_fp16.safetensors") == schnell
    assert resolve_text_encoders("clip_l_tiny", "t5xxl_tiny") == resolve_flux("tiny")
    assert resolve_text_encoders("dev", "dev") == resolve_flux("dev")


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("t5xxl_fp16.safetensors", "t5xxl_fp8_e4m3fn.safetensors", r"both a T5 .*; FLUX\.1 needs CLIP"),
        ("clip_l.safetensors", "clip_l.safetensors", r"both a CLIP .*; FLUX\.1 needs T5"),
        ("clip_l.safetensors", "t5xxl_tiny.safetensors", "different models, schnell and tiny"),
        ("dev", "schnell", "different models, dev and schnell"),
        ("clip_g.safetensors", "t5xxl_fp16.safetensors", "no file 'clip_g.safetensors'"),
    ],
)
def test_two_files_that_do_not_belong_together_are_refused(first: str, second: str, said: str) -> None:
    with pytest.raises(UnknownModelError, match=said):
        resolve_text_encoders(first, second)


def test_one_file_is_not_both_text_encoders() -> None:
    assert resolve_both_text_encoders("dev") == resolve_flux("dev")
    for name in ("clip_l.safetensors", "t5xxl_fp16.safetensors"):
        with pytest.raises(UnknownModelError, match="DualCLIPLoader"):
            resolve_both_text_encoders(name)


def test_a_whole_model_takes_the_other_parts_from_where_no_licence_is_needed(tmp_path: Path) -> None:
    dev, schnell = resolve_flux("dev"), resolve_flux("schnell")
    assert resolve_whole("flux1-dev-fp8.safetensors") == (dev, schnell)
    assert resolve_whole("flux1-schnell-fp8.safetensors") == (schnell, schnell)
    assert resolve_whole("flux1-tiny-schnell") == (resolve_flux("tiny-schnell"), resolve_flux("tiny"))
    assert resolve_whole("dev") == (dev, dev)
    folder = resolve_flux(str(tmp_path))
    assert resolve_whole(str(tmp_path)) == (folder, folder)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("flux1-dev-fp8.safetensors", 8),
        ("t5xxl_fp8_e4m3fn_scaled.safetensors", 8),
        ("x_e5m2.safetensors", 8),
        ("flux1-dev-Q8_0.gguf", 8),
        ("flux1-dev-Q4_K_S.gguf", 4),
        ("t5-v1_1-xxl-encoder-Q6_K.gguf", 6),
        ("flux1-dev-F16.gguf", None),
        ("t5xxl_fp16.safetensors", None),
        ("flux1-dev.safetensors", None),
    ],
)
def test_bits_that_names_ask_for(name: str, bits: int | None) -> None:
    assert bits_in_name(name) == bits


def test_only_the_two_encoders_are_text_encoders() -> None:
    assert set(T5.files) < set(TEXT_ENCODER.files)


def test_tiny_schnell_has_no_guidance_and_no_shift() -> None:
    from run_graph.runtime.models.loading import load_component

    checkpoint = resolve_flux("tiny-schnell")
    assert not shifts_sigmas(checkpoint)
    assert checkpoint.identity != resolve_flux("tiny").identity
    module, whole = (load_component(each, "transformer") for each in (checkpoint, resolve_flux("tiny")))
    assert module.module.time_text_embed.guidance_embedder is None
    assert 0 < whole.nbytes - module.nbytes < whole.nbytes / 10
