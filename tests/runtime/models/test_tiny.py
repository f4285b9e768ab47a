"""The small checkpoint: reproducible, quick, complete, and safe to make anywhere."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.models import tiny
from runtime.models.errors import CheckpointError
from runtime.models.tiny import TinySpec, ensure_tiny, tiny_digest
from runtime.models.tiny.make import make_checkpoint
from runtime.models.tiny.tokenizer_files import clip_vocabulary, t5_pieces

FOLDERS = {
    "transformer",
    "vae",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "image_encoder",
    "image_embedder",
    "scheduler",
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("RUN_GRAPH_CACHE", str(folder))
    monkeypatch.setattr(tiny, "_SHIPPED", tmp_path / "none")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_same_spec_gives_the_same_bytes(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "first")
    make_checkpoint(tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_another_seed_gives_other_weights_of_the_same_sizes(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "first", TinySpec(joint_blocks=1, single_blocks=1))
    make_checkpoint(tmp_path / "second", TinySpec(joint_blocks=1, single_blocks=1, seed=1))
    first, second = contents(tmp_path / "first"), contents(tmp_path / "second")
    assert {name: len(data) for name, data in first.items()} == {
        name: len(data) for name, data in second.items()
    }
    name = "transformer/diffusion_pytorch_model.safetensors"
    assert first[name] != second[name]


def test_it_is_made_within_three_seconds_and_has_every_folder(cache: Path) -> None:
    start = time.perf_counter()
    folder = ensure_tiny()
    assert time.perf_counter() - start < 3
    assert {path.name for path in folder.iterdir() if path.is_dir()} == FOLDERS
    assert (folder / "model_index.json").is_file()


def test_it_is_made_once_and_used_again(cache: Path) -> None:
    before = contents(ensure_tiny())
    stamps = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert contents(ensure_tiny()) == before
    assert stamps == {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert list(cache.iterdir()) == [ensure_tiny()], "no work folder is left behind"


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def delete(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, delete])
@pytest.mark.parametrize("name", ["vae/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json"])
def test_a_damaged_copy_is_made_again(cache: Path, damage: Callable[[Path], None], name: str) -> None:
    before = contents(ensure_tiny())
    damage(ensure_tiny() / name)
    assert contents(ensure_tiny()) == before


def test_a_copy_without_its_manifest_is_made_again(cache: Path) -> None:
    before = contents(ensure_tiny())
    (ensure_tiny() / "manifest.json").write_text("{")
    assert contents(ensure_tiny()) == before


def test_another_spec_has_another_folder(cache: Path) -> None:
    small = TinySpec(joint_blocks=1, single_blocks=1)
    assert ensure_tiny(small) != ensure_tiny()
    assert tiny_digest(small) != tiny_digest()


def test_weights_shipped_with_the_package_are_used_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "manifest.json").write_text(json.dumps({}))
    monkeypatch.setattr(tiny, "_SHIPPED", shipped)
    assert ensure_tiny() == shipped


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("RUN_GRAPH_CACHE", str(blocked))
    monkeypatch.setattr(tiny, "_SHIPPED", tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"a file.*RUN_GRAPH_CACHE"):
        ensure_tiny()


def test_several_processes_may_make_it_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from runtime.models.tiny import ensure_tiny; print(ensure_tiny())"]
    environment = {**os.environ, "RUN_GRAPH_CACHE": str(tmp_path)}
    makers = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [maker.communicate()[0].strip() for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0, 0]
    assert len(set(printed)) == 1
    assert [str(path) for path in tmp_path.iterdir()] == [printed[0]]


def test_importing_it_loads_neither_mlx_nor_numpy() -> None:
    heavy = "[name for name in ('mlx', 'mflux', 'numpy') if name in sys.modules]"
    program = f"import sys, runtime.models.tiny; print({heavy})"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_clips_end_token_has_the_highest_id() -> None:
    vocabulary = clip_vocabulary()
    assert vocabulary["<|endoftext|>"] == len(vocabulary) - 1 == max(vocabulary.values())


def test_vocabularies_name_no_token_twice() -> None:
    pieces = [piece for piece, _ in t5_pieces()]
    assert len(set(pieces)) == len(pieces)
    assert sorted(clip_vocabulary().values()) == list(range(len(clip_vocabulary())))
