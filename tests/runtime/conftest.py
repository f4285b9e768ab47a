"""A small checkpoint, copies of it that a test may damage, and a folder with a workflow in it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lora_samples import Sample, Sizes

from run_graph.runtime.models.assembly import leaves
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.lora_files import Lora, lora_digest
from training.layout.make import make_checkpoint
from training.layout.spec import TinySpec

SMALL = TinySpec(
    heads=2,
    joint_blocks=1,
    single_blocks=2,
    clip_layers=2,
    t5_tokens=16,
    vae_channels=(8, 16, 24, 24),
    siglip_layers=2,
)


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' models lie in the home folder, where a picture can name them: as ~/..."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint in diffusers' layout; read it, do not change it."""
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    make_checkpoint(folder, SMALL)
    return folder


@pytest.fixture
def copy_of(small_folder: Path, tmp_path: Path) -> Callable[..., Checkpoint]:
    """Copies the named parts of the small checkpoint to a folder of the test's own."""

    def copy(*parts: str) -> Checkpoint:
        folder = tmp_path / "copy"
        for part in parts:
            shutil.copytree(small_folder / part, folder / part)
        return Checkpoint(str(folder), folder=folder)

    return copy


@pytest.fixture(scope="session")
def sizes(small_folder: Path) -> Sizes:
    """Outputs and inputs of each linear layer of the small transformer."""
    import mlx.nn as nn

    from run_graph.runtime.models.loading import load_component

    module = load_component(Checkpoint("small", folder=small_folder), "transformer").module
    return {name: layer.weight.shape for name, layer in leaves(module) if isinstance(layer, nn.Linear)}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Lora]:
    """Writes a sample and gives the LoRA that a handle would carry."""

    def save(sample: Sample, scale: float = 1.0, skip: bool = False, name: str = "sample") -> Lora:
        path = sample.save(tmp_path / f"{name}.safetensors")
        return Lora(lora_digest(path), scale, skip, name, path)

    return save


@pytest.fixture
def project(
    tmp_path: Path,
    small_model: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """``redux.json`` on a small model, its pictures beside it, and the working directory there."""
    from small import make_project

    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path, small_model)
