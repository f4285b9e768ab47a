"""ComfyUI's loaders read the files that they name, and refuse those of another kind before anything runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from model_layouts import all_in_one, published, write, write_comfyui

from run_graph.graph import Node
from run_graph.nodes import (
    CheckpointLoaderSimple,
    CLIPLoader,
    CLIPVisionLoader,
    DualCLIPLoader,
    LoadFlux,
    LoadRedux,
    StyleModelLoader,
    UNETLoader,
    VAELoader,
)
from run_graph.runtime.models.assembly import named
from run_graph.runtime.models.handles import ModelHandle
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.resolution import resolve_flux
from run_graph.runtime.testing import NodeBench

TRANSFORMER, VAE = "flux1-dev.safetensors", "ae.safetensors"
CLIP, T5 = "clip_l.safetensors", "t5xxl_fp16.safetensors"
VISION, REDUX = "sigclip_vision_patch14_384.safetensors", "flux1-redux-dev.safetensors"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model as ComfyUI's files, and as one file; two have another name than is usual."""
    folder = write_comfyui(tmp_path_factory.mktemp("comfyui"))
    write(folder / "whole.safetensors", all_in_one())
    return folder


def dual(files: Path, one: str, other: str) -> DualCLIPLoader:
    return DualCLIPLoader(clip_name1=str(files / one), clip_name2=str(files / other), type="flux")


Make = Callable[[Path], Node]
LOADERS: dict[str, Make] = {
    "transformer": lambda files: UNETLoader(unet_name=str(files / TRANSFORMER)),
    "transformer of a whole model": lambda files: UNETLoader(unet_name=str(files / "whole.safetensors")),
    "text encoders": lambda files: dual(files, T5, CLIP),
    "text encoders the other way round": lambda files: dual(files, CLIP, T5),
    "text encoders of a whole model": lambda files: dual(files, "whole.safetensors", "whole.safetensors"),
    "both text encoders": lambda files: CLIPLoader(clip_name=str(files / "whole.safetensors")),
    "a file and a known name": lambda files: DualCLIPLoader(
        clip_name1=str(files / T5), clip_name2="clip_l_tiny", type="flux"
    ),
    "autoencoder": lambda files: VAELoader(vae_name=str(files / VAE)),
    "vision": lambda files: CLIPVisionLoader(clip_name=str(files / VISION)),
    "style model": lambda files: StyleModelLoader(style_model_name=str(files / REDUX)),
    "whole": lambda files: CheckpointLoaderSimple(ckpt_name=str(files / "whole.safetensors")),
    "natively": lambda files: LoadFlux(model=str(files / "whole.safetensors")),
    "Redux natively": lambda files: LoadRedux(model=str(files / REDUX)),
}


@pytest.mark.parametrize("name", LOADERS)
def test_handles_lead_to_the_weights_of_the_files(bench: NodeBench, files: Path, name: str) -> None:
    node = LOADERS[name](files)
    assert list(bench.problems(node)) == []
    handles = [value for value in vars(bench.run(node)).values() if isinstance(value, ModelHandle)]
    assert handles
    for handle in handles:
        for component in handle.components:
            found = named(load_component(handle.checkpoint, component).module.parameters())
            expected = named(load_component(resolve_flux("tiny"), component).module.parameters())
            assert found.keys() == expected.keys()
            assert all(mx.array_equal(found[key], array).item() for key, array in expected.items())


def test_a_handle_depends_on_no_more_files_than_it_needs(bench: NodeBench, files: Path) -> None:
    handles: Any = bench.run(LoadFlux(model=str(files / TRANSFORMER)))
    assert [component for component, _ in handles.flux.checkpoint.files] == ["transformer"]
    assert handles.flux.checkpoint.rest is None
    assert handles.vae.checkpoint.files == ()
    assert handles.vae.checkpoint.name == "tiny"


def test_a_file_in_the_working_directory_comes_before_a_known_name(
    bench: NodeBench, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vars(bench.run(VAELoader(vae_name=VAE)))["vae"].checkpoint.repo
    monkeypatch.chdir(files)
    assert vars(bench.run(VAELoader(vae_name=VAE)))["vae"].checkpoint.files


WRONG: dict[str, tuple[Make, str]] = {
    "an autoencoder as a transformer": (
        lambda files: UNETLoader(unet_name=str(files / VAE)),
        "holds FLUX.1's autoencoder; what is needed here is a FLUX.1 transformer",
    ),
    "a transformer as an autoencoder": (
        lambda files: VAELoader(vae_name=str(files / TRANSFORMER)),
        "holds a FLUX.1 transformer; what is needed here is FLUX.1's autoencoder",
    ),
    "Redux as SigLIP": (
        lambda files: CLIPVisionLoader(clip_name=str(files / REDUX)),
        "holds a Redux encoder; what is needed here is a SigLIP vision model",
    ),
    "T5 as LoadFlux's model": (
        lambda files: LoadFlux(model=str(files / T5)),
        "holds a T5 text encoder; LoadFlux needs the file of a FLUX.1 transformer",
    ),
    "an autoencoder as LoadRedux's model": (
        lambda files: LoadRedux(model=str(files / VAE)),
        "LoadRedux needs the file of a SigLIP vision model or a Redux encoder",
    ),
    "T5 twice": (lambda files: dual(files, T5, T5), "are both a T5 text encoder; FLUX.1 needs CLIP"),
    "two files of CLIP": (
        lambda files: dual(files, CLIP, "whole.safetensors"),
        "both hold a CLIP text encoder",
    ),
    "T5 alone": (lambda files: CLIPLoader(clip_name=str(files / T5)), "is one of FLUX.1's two text encoders"),
    "no file": (lambda files: UNETLoader(unet_name=str(files / "gone.safetensors")), "does not exist"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_of_another_kind_is_refused(bench: NodeBench, files: Path, case: str) -> None:
    make, said = WRONG[case]
    (problem,) = bench.problems(make(files))
    assert said in problem.message
    assert problem.fix


def test_a_tensor_that_a_file_lacks_is_a_fault_of_the_loader(bench: NodeBench, tmp_path: Path) -> None:
    tensors = published("vae")
    del tensors["decoder.conv_out.weight"]
    path = write(tmp_path / "ae.safetensors", tensors)
    (problem,) = bench.problems(VAELoader(vae_name=str(path)))
    assert "decoder.conv_out" in problem.message
