"""A small checkpoint for tests, made once, and copies of it that a test may damage."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.models.checkpoints import Checkpoint
from runtime.models.tiny import TinySpec
from runtime.models.tiny.make import make_checkpoint

SMALL = TinySpec(
    heads=2,
    joint_blocks=1,
    single_blocks=2,
    clip_layers=2,
    t5_tokens=16,
    vae_channels=(8, 16, 24, 24),
    siglip_layers=2,
)


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
