"""Turn prompts into token ids, with the tokenizers of a checkpoint."""

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
    folder = checkpoint.locate_complete(part)
    definition = next(entry for entry in FluxWeightDefinition.get_tokenizers() if entry.name == kind)
    try:
        return TokenizerLoader.load(definition, str(folder))
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(_unreadable(folder / part, error)) from error


def token_ids(tokenizer: BaseTokenizer, prompt: str, length: int) -> mx.array:
    """Token ids (1, length): `prompt` cut or padded to `length`; the end token is kept.

    An empty prompt gives the end token and padding, as in the reference pipelines. Without `keep_empty`,
    mflux would return no tokens at all.
    """
    ids: mx.array = tokenizer.tokenize(prompt, max_length=length, keep_empty=True).input_ids
    return ids


def tokens_beyond(tokenizer: BaseTokenizer, prompt: str, length: int) -> str:
    """The end of the prompt that `token_ids` cuts off, as text; "" if nothing is cut off.

    The end token takes the last place, so `length - 1` tokens of text are kept.
    """
    ids: list[int] = tokenizer.tokenizer(prompt, add_special_tokens=True, verbose=False)["input_ids"]
    if len(ids) <= length:
        return ""
    lost: str = tokenizer.tokenizer.decode(ids[length - 1 :], skip_special_tokens=True).strip()
    return lost or "its last word"


def _unreadable(place: Path, error: Exception) -> str:
    cause = error.__cause__ or error
    return f"The tokenizer in {place} cannot be read ({cause}). Download it again."
