"""Checkpoints made for tests: reproducible, and with vocabularies that the real tokenizer classes load."""

from dataclasses import replace
from pathlib import Path

from training.layout.make import make_checkpoint
from training.layout.spec import TinySpec
from training.layout.tokenizer_files import clip_vocabulary, t5_pieces

SPEC = TinySpec(joint_blocks=1, single_blocks=1, vae_channels=(8, 16, 24, 24), siglip_layers=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_same_spec_gives_the_same_bytes(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "first", SPEC)
    make_checkpoint(tmp_path / "second", SPEC)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_another_seed_gives_different_weights_of_the_same_sizes(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "first", SPEC)
    make_checkpoint(tmp_path / "second", replace(SPEC, seed=1))
    first, second = contents(tmp_path / "first"), contents(tmp_path / "second")
    assert {name: len(data) for name, data in first.items()} == {
        name: len(data) for name, data in second.items()
    }
    name = "transformer/diffusion_pytorch_model.safetensors"
    assert first[name] != second[name]


def test_clips_end_token_has_the_highest_id() -> None:
    vocabulary = clip_vocabulary()
    assert vocabulary["<|endoftext|>"] == len(vocabulary) - 1 == max(vocabulary.values())


def test_vocabularies_have_no_duplicate_tokens() -> None:
    pieces = [piece for piece, _ in t5_pieces()]
    assert len(set(pieces)) == len(pieces)
    assert sorted(clip_vocabulary().values()) == list(range(len(clip_vocabulary())))
