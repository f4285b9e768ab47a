"""Encode a prompt: T5's tokens and CLIP's pooled vector."""

from typing import Any

import mlx.core as mx

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.checkpoint_facts import max_text_tokens
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.handles import TextEncoders
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.models.tokenizers import CLIP_TOKENS, token_ids
from run_graph.runtime.networks import clip, t5


def encode_prompt(store: ModelStore, handle: TextEncoders, prompt: str) -> tuple[mx.array, mx.array]:
    """Encode one prompt, which may be empty.

    Returns
    -------
    tokens, pooled
        T5's hidden states (1, N, D) with N = 512, or 256 for schnell (a tokenizer may lower it), and
        CLIP's pooled vector (1, P). Both are evaluated before this returns, so that neither keeps an
        encoder's weights alive.

    Raises
    ------
    CheckpointError, DownloadError
        If a tokenizer or an encoder cannot be read, or the two do not belong together.
    LoraError
        If one of the handle's LoRAs does not fit.
    """
    pooled = _pooled(store, handle, prompt)
    return _tokens(store, handle, prompt), pooled


# One function per encoder, so that the first can be evicted when the second is read.


def _tokens(store: ModelStore, handle: TextEncoders, prompt: str) -> mx.array:
    checkpoint = handle.checkpoint
    ids = token_ids(store.tokenizer(checkpoint, "t5"), prompt, max_text_tokens(checkpoint))
    encoder = store.component(handle, "text_encoder_2")
    check_known(ids, encoder.module.shared, checkpoint)
    tokens = t5.encode(encoder.module, encoder.config, ids)
    mx.eval(tokens)
    return tokens


def _pooled(store: ModelStore, handle: TextEncoders, prompt: str) -> mx.array:
    checkpoint = handle.checkpoint
    ids = token_ids(store.tokenizer(checkpoint, "clip"), prompt, CLIP_TOKENS)
    encoder = store.component(handle, "text_encoder")
    check_known(ids, encoder.module.text_model.embeddings.token_embedding, checkpoint)
    pooled = clip.pooled(encoder.module, encoder.config, ids)
    mx.eval(pooled)
    return pooled


def check_known(ids: mx.array, embedding: Any, checkpoint: Checkpoint) -> None:
    """Refuse ids beyond the encoder's vocabulary, for which MLX would read other memory."""
    known = embedding.weight.shape[0]
    largest: Any = ids.max().item()
    if largest >= known:
        raise CheckpointError(
            f"The tokenizer of {checkpoint.name} gives the token {largest}, but its text encoder knows only "
            f"{known}: they belong to different models. Download the model again."
        )
