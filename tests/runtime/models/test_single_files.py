"""Single files, as ComfyUI's users have them, give the picture of the folder that they were made from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_layouts import (
    COMFYUI,
    all_in_one,
    latent_diffusion_vae,
    original_transformer,
    prefixed,
    published,
    write,
    write_comfyui,
)
from small import WORKFLOWS, shipped, with_each

from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.assembly import named
from run_graph.runtime.models.checkpoint_facts import shifts_sigmas
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import COMPONENTS, FLUX_COMPONENTS, Component
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.resolution import from_files, resolve_flux

ENVIRONMENT = RunEnvironment([WORKFLOWS], Path("unused"))
FILE_OF: dict[Component, str] = {
    "transformer": "flux1-dev.safetensors",
    "vae": "ae.safetensors",
    "text_encoder": "clip_l.safetensors",
    "text_encoder_2": "t5xxl_fp16.safetensors",
    "image_encoder": "sigclip_vision_patch14_384.safetensors",
    "image_embedder": "flux1-redux-dev.safetensors",
}


def picture(flux: str = "tiny", redux: str = "tiny") -> np.ndarray:
    """The shipped Redux workflow's picture, small, with these models."""
    workflow = with_each(shipped("redux"), "FluxSample", width=32, height=32, steps=2)
    workflow = with_each(workflow, "LoadFlux", model=flux)
    workflow = with_each(workflow, "LoadRedux", model=redux)
    result = Session(cache=NoCache()).run(workflow, targets=["image"], environment=ENVIRONMENT)
    image: Any = result.outputs("image")
    pixels: np.ndarray = image.image.pixels
    return pixels


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return picture()


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comfyui(tmp_path_factory.mktemp("comfyui"))


def parameters(checkpoint: Checkpoint, component: Component) -> dict[str, np.ndarray]:
    module = load_component(checkpoint, component).module
    return {name: np.array(array) for name, array in named(module.parameters()).items()}


def assert_same_weights(checkpoint: Checkpoint, component: Component) -> None:
    found, expected = parameters(checkpoint, component), parameters(resolve_flux("tiny"), component)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, name)


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_of_comfyuis_files_is_read_whole(comfyui: Path, component: Component) -> None:
    assert_same_weights(from_files("a file", [comfyui / FILE_OF[component]]), component)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "model."])
def test_a_transformer_is_found_under_any_prefix(tmp_path: Path, prefix: str) -> None:
    path = write(tmp_path / "any.safetensors", prefixed(original_transformer(), prefix))
    assert_same_weights(resolve_flux(str(path)), "transformer")


def test_newer_files_call_the_scale_of_a_norm_its_weight(tmp_path: Path) -> None:
    tensors = {name.replace("_norm.scale", "_norm.weight"): a for name, a in original_transformer().items()}
    assert_same_weights(resolve_flux(str(write(tmp_path / "m.safetensors", tensors))), "transformer")


@pytest.mark.parametrize("component", FLUX_COMPONENTS)
def test_one_file_may_hold_a_whole_model(tmp_path: Path, component: Component) -> None:
    path = write(tmp_path / "flux1-dev-fp8.safetensors", all_in_one())
    assert_same_weights(resolve_flux(str(path)), component)


@pytest.mark.parametrize("component", COMPONENTS)
def test_one_file_of_diffusers_names_will_do(tmp_path: Path, component: Component) -> None:
    path = write(tmp_path / "renamed.safetensors", published(component))
    assert_same_weights(from_files("a file", [path]), component)


VARIANTS: dict[str, tuple[Component, Callable[[], dict[str, Any]]]] = {
    "T5 with the other name of its embedding": (
        "text_encoder_2",
        lambda: {
            name.replace("shared.", "encoder.embed_tokens."): array
            for name, array in published("text_encoder_2").items()
        },
    ),
    "T5 with both names": (
        "text_encoder_2",
        lambda: (
            published("text_encoder_2")
            | {"encoder.embed_tokens.weight": published("text_encoder_2")["shared.weight"]}
        ),
    ),
    "CLIP as transformers 5 writes it": (
        "text_encoder",
        lambda: {name.removeprefix("text_model."): a for name, a in published("text_encoder").items()},
    ),
    "CLIP with what FLUX does not use": (
        "text_encoder",
        lambda: (
            published("text_encoder")
            | {
                "text_projection.weight": np.zeros((64, 64), np.float32),
                "logit_scale": np.zeros((), np.float32),
                "text_model.embeddings.position_ids": np.zeros((1, 77), np.int64),
            }
        ),
    ),
    "SigLIP without its prefix": (
        "image_encoder",
        lambda: {name.removeprefix("vision_model."): a for name, a in published("image_encoder").items()},
    ),
    "SigLIP with its text tower": (
        "image_encoder",
        lambda: (
            published("image_encoder")
            | {
                "text_model.embeddings.token_embedding.weight": np.zeros((8, 64), np.float32),
                "text_model.final_layer_norm.weight": np.zeros(64, np.float32),
                "text_model.head.weight": np.zeros((64, 64), np.float32),
                "logit_scale": np.zeros(1, np.float32),
                "logit_bias": np.zeros(1, np.float32),
            }
        ),
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_a_file(tmp_path: Path, variant: str) -> None:
    component, tensors = VARIANTS[variant]
    assert_same_weights(from_files("x", [write(tmp_path / "x.safetensors", tensors())]), component)


def test_the_picture_is_the_same_from_single_files(comfyui: Path, expected: np.ndarray) -> None:
    redux = str(comfyui / FILE_OF["image_embedder"])
    np.testing.assert_array_equal(picture(str(comfyui / FILE_OF["transformer"]), redux), expected)


def test_the_picture_is_the_same_from_one_file(tmp_path: Path, expected: np.ndarray) -> None:
    path = write(tmp_path / "whole.safetensors", all_in_one())
    np.testing.assert_array_equal(picture(str(path)), expected)


def test_guidance_tells_dev_from_schnell(tmp_path: Path) -> None:
    tensors = original_transformer()
    dev = resolve_flux(str(write(tmp_path / "one.safetensors", tensors)))
    schnell = {name: array for name, array in tensors.items() if not name.startswith("guidance_in")}
    other = resolve_flux(str(write(tmp_path / "two.safetensors", schnell)))
    assert (shifts_sigmas(dev), shifts_sigmas(other)) == (True, False)
    assert load_component(other, "transformer").module.time_text_embed.guidance_embedder is None


def test_comfyuis_names_are_all_told_apart_by_content(tmp_path: Path) -> None:
    assert latent_diffusion_vae().keys() != published("vae").keys()
    for number, (name, tensors) in enumerate(COMFYUI.items()):
        path = write(tmp_path / f"{number}.safetensors", tensors())
        ((component, _),) = from_files(name, [path]).files
        assert FILE_OF[component] == name


def test_a_folder_of_comfyuis_files_serves_both_loaders(comfyui: Path, expected: np.ndarray) -> None:
    flux = resolve_flux(str(comfyui))
    assert {component for component, _ in flux.files} == set(FLUX_COMPONENTS)
    np.testing.assert_array_equal(picture(str(comfyui), str(comfyui)), expected)


def test_a_folder_with_two_transformers_is_refused(tmp_path: Path) -> None:
    write_comfyui(tmp_path)
    write(tmp_path / "flux1-schnell.safetensors", original_transformer())
    with pytest.raises(CheckpointError, match=r"both hold a FLUX\.1 transformer\. Name one of them"):
        resolve_flux(str(tmp_path))
