"""Encode a prompt: T5's hidden states and CLIP's pooled vector."""

import mlx.core as mx

from run_graph.runtime.models.checkpoints import Checkpoint, max_text_tokens
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.models.tokenizers import CLIP_TOKENS, token_ids
from run_graph.runtime.networks import clip, t5


def encode_prompt(
    store: ModelStore, checkpoint: Checkpoint, quantize: int | None, prompt: str
) -> tuple[mx.array, mx.array]:
    """Encode one prompt, which may be empty.

    Returns
    -------
    tokens, pooled
        T5's hidden states (1, N, D) with N = 512, or 256 for schnell (less if the tokenizer says so), and
        CLIP's pooled vector (1, P). Both are evaluated before this returns, so that neither keeps an
        encoder's weights alive.
    """
    pooled = _pooled(store, checkpoint, quantize, prompt)
    return _tokens(store, checkpoint, quantize, prompt), pooled


# One function per encoder: the first encoder is no longer referenced, and may be evicted, when the
# second is loaded.


def _tokens(store: ModelStore, checkpoint: Checkpoint, quantize: int | None, prompt: str) -> mx.array:
    ids = token_ids(store.tokenizer(checkpoint, "t5"), prompt, max_text_tokens(checkpoint))
    encoder = store.get(checkpoint, "text_encoder_2", quantize)
    tokens = t5.encode(encoder.module, encoder.config, ids)
    mx.eval(tokens)
    return tokens


def _pooled(store: ModelStore, checkpoint: Checkpoint, quantize: int | None, prompt: str) -> mx.array:
    ids = token_ids(store.tokenizer(checkpoint, "clip"), prompt, CLIP_TOKENS)
    encoder = store.get(checkpoint, "text_encoder", quantize)
    pooled = clip.pooled(encoder.module, encoder.config, ids)
    mx.eval(pooled)
    return pooled
