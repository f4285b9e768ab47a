"""Turn prompts into token ids with a checkpoint's own tokenizers."""

from pathlib import Path

import mlx.core as mx
from mflux.models.common.tokenizer import TokenizerLoader
from mflux.models.common.tokenizer.tokenizer import BaseTokenizer
from mflux.models.flux.weights.flux_weight_definition import FluxWeightDefinition

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import TOKENIZER_FOLDERS, TokenizerKind

CLIP_TOKENS = 77


def load_tokenizer(checkpoint: Checkpoint, kind: TokenizerKind) -> BaseTokenizer:
    """The checkpoint's tokenizer for CLIP or T5, read through mflux.

    Raises
    ------
    CheckpointError
        If its files are missing or unreadable.
    DownloadError
        If they cannot be downloaded.
    """
    part = TOKENIZER_FOLDERS[kind]
    folder = checkpoint.locate_whole(part)
    definition = next(entry for entry in FluxWeightDefinition.get_tokenizers() if entry.name == kind)
    try:
        return TokenizerLoader.load(definition, str(folder))
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(_unreadable(folder / part, error)) from error


def token_ids(tokenizer: BaseTokenizer, prompt: str, length: int) -> mx.array:
    """Token ids (1, length) of `prompt`, truncated or padded to `length`; the end token is kept.

    An empty prompt becomes an end token and padding, as in the reference pipelines; without `keep_empty`
    mflux would return no tokens at all.
    """
    ids: mx.array = tokenizer.tokenize(prompt, max_length=length, keep_empty=True).input_ids
    return ids


def _unreadable(place: Path, error: Exception) -> str:
    cause = error.__cause__ or error
    return f"The tokenizer in {place} cannot be read ({cause}). Download it again."
