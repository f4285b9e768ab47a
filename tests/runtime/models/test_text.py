"""A prompt becomes token ids and conditioning."""

import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.handles import TextEncoders
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.models.text import encode_prompt
from run_graph.runtime.models.tokenizers import load_tokenizer, token_ids

PROMPTS = ["", " ", "a photo of a fox in the snow", "zażółć 🦊 日本 \x00 \n", "fox " * 300]
END, PAD = 1, 0  # T5's


@pytest.fixture(scope="module")
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture(scope="module")
def checkpoint(small_folder: Path) -> Checkpoint:
    return Checkpoint("small", folder=small_folder)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_any_prompt_is_padded_or_truncated_to_both_tokenizers_lengths(
    store: ModelStore, checkpoint: Checkpoint, prompt: str
) -> None:
    clip = token_ids(store.tokenizer(checkpoint, "clip"), prompt, 77)
    t5 = token_ids(store.tokenizer(checkpoint, "t5"), prompt, 16)
    assert clip.shape == (1, 77)
    assert t5.shape == (1, 16)
    assert clip.max().item() in clip[0].tolist()
    assert END in t5[0].tolist(), "the end token survives truncation"


def test_an_empty_prompt_becomes_an_end_token_and_padding(store: ModelStore, checkpoint: Checkpoint) -> None:
    t5 = token_ids(store.tokenizer(checkpoint, "t5"), "", 16)[0].tolist()
    assert t5 == [END] + [PAD] * 15
    clip = token_ids(store.tokenizer(checkpoint, "clip"), "", 77)[0].tolist()
    assert clip == [max(clip) - 1] + [max(clip)] * 76


def test_clip_knows_every_byte(store: ModelStore, checkpoint: Checkpoint) -> None:
    first, second = (
        token_ids(store.tokenizer(checkpoint, "clip"), text, 77)[0].tolist() for text in ("🦊", "🐺")
    )
    assert first != second
    assert first.index(max(first)) > 2


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_becomes_tokens_and_a_pooled_vector(
    store: ModelStore, checkpoint: Checkpoint, prompt: str
) -> None:
    tokens, pooled = encode_prompt(store, TextEncoders(checkpoint), prompt)
    assert tokens.shape == (1, 16, 128)
    assert pooled.shape == (1, 64)
    assert np.isfinite(np.array(tokens)).all()
    assert np.isfinite(np.array(pooled)).all()


def test_different_prompts_give_different_conditioning(store: ModelStore, checkpoint: Checkpoint) -> None:
    fox, dragon = (encode_prompt(store, TextEncoders(checkpoint), text) for text in ("a fox", "a dragon"))
    for one, other in zip(fox, dragon, strict=True):
        assert mx.abs(one - other).max().item() > 0.1


def test_quantised_encoders_give_nearly_the_same(store: ModelStore, checkpoint: Checkpoint) -> None:
    exact = encode_prompt(store, TextEncoders(checkpoint), "a fox in the snow")
    packed = encode_prompt(store, TextEncoders(checkpoint, 8), "a fox in the snow")
    for one, other in zip(exact, packed, strict=True):
        difference = (mx.linalg.norm(one - other) / mx.linalg.norm(one)).item()
        assert 0 < difference < 0.05


def test_under_a_tight_memory_limit_one_encoder_is_evicted_for_the_other(checkpoint: Checkpoint) -> None:
    roomy = ModelStore()
    expected = encode_prompt(roomy, TextEncoders(checkpoint), "a fox")
    largest = max(nbytes for _, nbytes in roomy.resident())
    tight = ModelStore(memory_limit=largest)
    found = encode_prompt(tight, TextEncoders(checkpoint), "a fox")
    assert [key.component for key, _ in tight.resident()] == ["text_encoder_2"]
    for one, other in zip(found, expected, strict=True):
        assert mx.array_equal(one, other)


def test_an_unreadable_tokenizer_is_named(copy_of: Callable[..., Checkpoint]) -> None:
    checkpoint = copy_of("tokenizer")
    assert checkpoint.folder is not None
    (checkpoint.folder / "tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError) as caught:
        load_tokenizer(checkpoint, "clip")
    assert str(checkpoint.folder / "tokenizer") in str(caught.value)
    assert "Download it again" in str(caught.value)


@pytest.mark.parametrize("part", ["tokenizer", "tokenizer_2"])
def test_a_tokenizer_of_another_model_is_refused(copy_of: Callable[..., Checkpoint], part: str) -> None:
    checkpoint = copy_of("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "scheduler")
    assert checkpoint.folder is not None
    path = checkpoint.folder / part / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"extra_special_tokens": ["<mine>"]}))
    with pytest.raises(CheckpointError, match="belong to different models"):
        encode_prompt(ModelStore(), TextEncoders(checkpoint), "a <mine>")
