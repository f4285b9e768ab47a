"""Encode a prompt as ComfyUI's CLIPTextEncode does for FLUX: with weights, and never cut.

It differs from :mod:`runtime.models.text`, which follows mflux and diffusers: T5 reads the whole prompt,
padded to at least 256 tokens; each weighted piece is tokenised by itself; weights move T5's output away from
that of an empty prompt. CLIP's pooled vector is of the first 77 tokens and has no weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from run_graph.runtime.models.checkpoint_facts import max_text_tokens
from run_graph.runtime.models.handles import TextEncoders
from run_graph.runtime.models.prompt_weights import Piece, pieces
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.models.text import check_known
from run_graph.runtime.models.tokenizers import CLIP_TOKENS, PromptTokenizer
from run_graph.runtime.networks import clip, t5

T5_TOKENS = 256
"""The fewest tokens that T5 reads, padding included."""

_WORD_TOKENS = 8  # a piece of at least as many tokens may be divided between two chunks of CLIP's
_EMBEDDING = "embedding:"


@dataclass(frozen=True)
class WeightedText:
    """An encoded prompt.

    Attributes
    ----------
    tokens : array (1, N, D)
    pooled : array (1, P)
    warnings : tuple of str
        What of the prompt was not read.
    """

    tokens: mx.array
    pooled: mx.array
    warnings: tuple[str, ...]


def encode_weighted(store: ModelStore, encoders: TextEncoders, clip_text: str, t5_text: str) -> WeightedText:
    """Encode a prompt, which may be another one for each encoder."""
    clip_pieces, t5_pieces = _known(clip_text), _known(t5_text)
    pooled = _pooled(store, encoders, clip_pieces.pieces)
    tokens = _tokens(store, encoders, t5_pieces.pieces)
    warnings = dict.fromkeys((*clip_pieces.warnings, *t5_pieces.warnings))
    return WeightedText(tokens, pooled, tuple(warnings))


@dataclass(frozen=True)
class _Known:
    pieces: list[Piece]
    warnings: list[str]


def _known(prompt: str) -> _Known:
    """The prompt's pieces without the names of textual-inversion embeddings, of which there are none here."""
    found: list[Piece] = []
    warnings: list[str] = []
    for piece in pieces(prompt):
        for text in _split_at_embeddings(piece.text):
            if text.startswith(_EMBEDDING):
                name, _, text = text.removeprefix(_EMBEDDING).partition(" ")
                stripped = name.strip(",")
                warnings.append(
                    f"{_EMBEDDING}{stripped} is left out of the prompt: FLUX has no such embeddings"
                )
                text = f"{name[len(stripped) :]} {text}" if len(stripped) < len(name) else text
            if text:
                found.append(Piece(text, piece.weight))
    return _Known(found, warnings)


def _split_at_embeddings(text: str) -> Iterator[str]:
    first, *others = re.split(rf"[ \n]{_EMBEDDING}", text)
    yield first
    yield from (_EMBEDDING + other for other in others)


def _tokens(store: ModelStore, handle: TextEncoders, prompt: Sequence[Piece]) -> mx.array:
    tokenizer = store.tokenizer(handle.checkpoint, "t5")
    numbered = [(index, piece.weight) for piece in prompt for index in _ids(tokenizer, piece.text)]
    ids = [index for index, _ in numbered]
    weights = [weight for _, weight in numbered]
    end = tokenizer.encode("")[-1]
    length = max(len(ids) + 1, min(T5_TOKENS, max_text_tokens(handle.checkpoint)))
    encoder = store.component(handle, "text_encoder_2")

    def encoded(text: list[int]) -> mx.array:
        padded = mx.array([[*text, end, *[tokenizer.pad] * (length - len(text) - 1)]])
        check_known(padded, encoder.module.shared, handle.checkpoint)
        return t5.encode(encoder.module, encoder.config, padded)

    tokens = encoded(ids)
    if any(weight != 1 for weight in weights):
        factors = np.ones((1, length, 1), np.float32)
        factors[0, : len(weights), 0] = weights
        empty = encoded([])
        tokens = (tokens - empty) * mx.array(factors).astype(tokens.dtype) + empty
    mx.eval(tokens)
    return tokens


def _pooled(store: ModelStore, handle: TextEncoders, prompt: Sequence[Piece]) -> mx.array:
    tokenizer = store.tokenizer(handle.checkpoint, "clip")
    ids = mx.array([_first_chunk(tokenizer, [_ids(tokenizer, piece.text) for piece in prompt])])
    encoder = store.component(handle, "text_encoder")
    check_known(ids, encoder.module.text_model.embeddings.token_embedding, handle.checkpoint)
    pooled = clip.pooled(encoder.module, encoder.config, ids)
    mx.eval(pooled)
    return pooled


def _first_chunk(tokenizer: PromptTokenizer, texts: Sequence[list[int]]) -> list[int]:
    """CLIP's first 77 tokens: start, up to 75 of the prompt, end. A short piece is not divided."""
    start, end = tokenizer.encode("")
    chunk = [start]
    for ids in texts:
        room = CLIP_TOKENS - 1 - len(chunk)
        if len(ids) <= room:
            chunk += ids
            continue
        if len(ids) >= _WORD_TOKENS:
            chunk += ids[:room]
        break
    chunk.append(end)
    return chunk + [tokenizer.pad] * (CLIP_TOKENS - len(chunk))


def _ids(tokenizer: PromptTokenizer, text: str) -> list[int]:
    """A text's ids without those that begin and end every text."""
    marks = len(tokenizer.encode("")) - 1  # CLIP has a start token, T5 has none
    return tokenizer.encode(text)[marks:-1]
