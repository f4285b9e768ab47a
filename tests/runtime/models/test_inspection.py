"""Checks of a checkpoint's files that read no weights."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import FLUX_PARTS, REDUX_PARTS
from run_graph.runtime.models.inspection import faults, read_header
from run_graph.runtime.models.tokenizers import load_tokenizer

Copy = Callable[..., Checkpoint]
PART = "image_embedder"


@pytest.fixture
def place(copy_of: Copy) -> Path:
    folder = copy_of(PART).folder
    assert folder is not None
    return folder / PART


def only_fault(place: Path) -> str:
    found = faults(place.parent, [place.name])
    assert len(found) == 1, found
    return found[0]


def test_a_whole_checkpoint_has_no_faults(small_folder: Path) -> None:
    assert faults(small_folder, [*FLUX_PARTS, *REDUX_PARTS, "scheduler"]) == []


def test_a_header_gives_names_shapes_and_bytes(place: Path) -> None:
    header = read_header(place / "diffusion_pytorch_model.safetensors")
    tensor = header.tensors["redux_up.weight"]
    assert (tensor.dtype, tensor.shape, tensor.nbytes) == ("F32", (384, 64), 4 * 384 * 64)
    assert header.metadata == {"format": "pt"}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path / "gone", ["vae"]) == [f"The model folder {tmp_path / 'gone'} does not exist."]


def test_every_missing_part_is_named(place: Path) -> None:
    found = faults(place.parent, ["vae", PART, "tokenizer", "scheduler"])
    assert [name for name in ("vae", "tokenizer", "scheduler") if any(repr(name) in f for f in found)] == [
        "vae",
        "tokenizer",
        "scheduler",
    ]
    assert len(found) == 3


def test_a_part_without_weights_is_named(place: Path) -> None:
    (place / "diffusion_pytorch_model.safetensors").unlink()
    assert "contains no *.safetensors file" in only_fault(place)


def test_a_missing_config_is_named(place: Path) -> None:
    (place / "config.json").unlink()
    assert only_fault(place).startswith(f"{place / 'config.json'} is missing")


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_an_unreadable_config_is_named(place: Path, text: str) -> None:
    (place / "config.json").write_text(text)
    assert str(place / "config.json") in only_fault(place)


@pytest.mark.parametrize("kept", [0, 5, 100, 5000])
def test_a_file_cut_short_anywhere_is_noticed(place: Path, kept: int) -> None:
    path = place / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert "cut short" in only_fault(place)
    assert str(path) in only_fault(place)


def test_a_download_that_is_an_error_page_is_noticed(place: Path) -> None:
    path = place / "diffusion_pytorch_model.safetensors"
    path.write_text("<html>404 not found</html>" * 10)
    assert "is a web page, not a model" in only_fault(place)


@pytest.mark.parametrize("header", [b"not json", b"[1]", b'{"a": {"dtype": "F32"}}', b'{"a": 1}'])
def test_a_header_that_makes_no_sense_is_noticed(place: Path, header: bytes) -> None:
    path = place / "diffusion_pytorch_model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert "unreadable header" in only_fault(place)


def test_a_shard_that_the_index_names_must_be_there(place: Path) -> None:
    index = {
        "weight_map": {"redux_up.weight": "model-2.safetensors", "redux_down.weight": "model-3.safetensors"}
    }
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-2.safetensors, model-3.safetensors" in only_fault(place)


def test_a_tokenizer_without_files_is_named(copy_of: Copy) -> None:
    folder = copy_of("tokenizer").folder
    assert folder is not None
    (folder / "tokenizer" / "tokenizer.json").unlink()
    assert "tokenizer.json" in only_fault(folder / "tokenizer")


def test_hidden_companions_of_macos_are_ignored(place: Path) -> None:
    (place / "._diffusion_pytorch_model.safetensors").write_bytes(b"junk")
    assert faults(place.parent, [PART]) == []


ODD: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(
    "name",
    [
        "image_embedder/diffusion_pytorch_model.safetensors",
        "image_embedder/config.json",
        "image_embedder/model.safetensors.index.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_what_is_no_file_is_refused_at_once(copy_of: Copy, name: str, kind: str) -> None:
    folder = copy_of("image_embedder", "scheduler").folder
    assert folder is not None
    path = folder / name
    path.unlink(missing_ok=True)
    ODD[kind](path)
    (fault,) = faults(folder, ["image_embedder", "scheduler"])
    assert f"is {kind}, not a regular file" in fault or path.name in fault
    assert str(path.parent) in fault


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
def test_what_is_no_file_of_a_tokenizer_is_refused_at_once(copy_of: Copy, name: str, kind: str) -> None:
    checkpoint = copy_of("tokenizer")
    assert checkpoint.folder is not None
    path = checkpoint.folder / "tokenizer" / name
    path.unlink(missing_ok=True)
    ODD[kind](path)
    with pytest.raises(CheckpointError, match=r"Download (or copy )?it again"):
        load_tokenizer(checkpoint, "clip")


@pytest.mark.parametrize("kind", ODD)
def test_odd_entries_beside_a_model_s_files_do_not_stop_it_from_being_identified(
    copy_of: Copy, kind: str
) -> None:
    checkpoint = copy_of("vae")
    assert checkpoint.folder is not None
    before = checkpoint.identity
    ODD[kind](checkpoint.folder / "vae" / "notes.txt")
    assert checkpoint.identity == before
