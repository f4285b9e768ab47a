"""Turn prompts into token ids, with the tokenizers of a checkpoint.

A checkpoint brings its vocabulary; how a text is cleaned and split before is part of the two text encoders.
Both give the ids of transformers' CLIPTokenizer and T5Tokenizer, which take half a second to import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import TOKENIZER_FOLDERS, TokenizerKind
from run_graph.runtime.models.inspection import read_json
from run_graph.runtime.models.tokenizer_files import read_vocabulary, special_tokens

CLIP_TOKENS = 77

_WORD_END = "</w>"
_WORDS = (  # OpenAI's pattern: contractions, runs of letters, single digits, runs of anything else
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
_WORD_MARK = "▁"  # SentencePiece's space
_UNKNOWN = 2  # id in T5's vocabulary
_T5_EXTRA = 100  # how many sentinel tokens T5 has, unless its config says otherwise


@dataclass(frozen=True)
class PromptTokenizer:
    """A tokenizer and the id with which it pads."""

    backend: Tokenizer
    pad: int

    def encode(self, prompt: str) -> list[int]:
        """The ids of the whole prompt with its start and end tokens, neither cut nor padded."""
        ids: list[int] = self.backend.encode(prompt).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of these ids without special tokens."""
        text: str = self.backend.decode(ids, skip_special_tokens=True)
        return text.replace(_WORD_END, " ").strip()


def load_tokenizer(checkpoint: Checkpoint, kind: TokenizerKind) -> PromptTokenizer:
    """The checkpoint's tokenizer for CLIP or T5.

    Raises
    ------
    CheckpointError
        If its files are missing or unreadable.
    DownloadError
        If they cannot be downloaded.
    """
    part = TOKENIZER_FOLDERS[kind]
    folder = checkpoint.locate_complete(part) / part
    try:
        return _BUILDERS[kind](folder)
    except Exception as error:  # the package tokenizers raises plain Exceptions for damaged files
        raise CheckpointError(
            f"The tokenizer in {folder} cannot be read ({error}). Download it again."
        ) from error


def token_ids(tokenizer: PromptTokenizer, prompt: str, length: int) -> mx.array:
    """Token ids (1, length) int32: `prompt` cut or padded to `length`; the end token is kept.

    An empty prompt gives the end token and padding, as in the reference pipelines.
    """
    ids = tokenizer.encode(prompt)
    if len(ids) > length:
        ids = ids[: length - 1] + ids[-1:]
    return mx.array([ids + [tokenizer.pad] * (length - len(ids))])


def tokens_beyond(tokenizer: PromptTokenizer, prompt: str, length: int) -> str:
    """The end of the prompt that `token_ids` cuts off, as text; "" if nothing is cut off.

    The end token takes the last place, so `length - 1` tokens of text are kept.
    """
    ids = tokenizer.encode(prompt)
    if len(ids) <= length:
        return ""
    return tokenizer.decode(ids[length - 1 :]) or "its last word"


def _clip(folder: Path) -> PromptTokenizer:
    vocabulary = read_vocabulary(folder)
    usual = {"bos_token": "<|startoftext|>"}
    usual |= dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>")
    names, added = special_tokens(folder, vocabulary, usual, [])
    model = BPE(
        vocabulary.entries, vocabulary.merges, unk_token=names["unk_token"], end_of_word_suffix=_WORD_END
    )
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(added)
    start, end = ((names[name], _id(backend, names[name])) for name in ("bos_token", "eos_token"))
    backend.post_processor = processors.RobertaProcessing(
        end, start, trim_offsets=False, add_prefix_space=False
    )
    return PromptTokenizer(backend, _id(backend, names["pad_token"]))


def _t5(folder: Path) -> PromptTokenizer:
    count = int(read_json(folder / "tokenizer_config.json").get("extra_ids", _T5_EXTRA))
    sentinels = [f"<extra_id_{index}>" for index in range(count)]
    vocabulary = read_vocabulary(folder, sentinels[::-1])
    usual = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    names, added = special_tokens(folder, vocabulary, usual, sentinels)
    backend = Tokenizer(Unigram(vocabulary.entries, unk_id=_UNKNOWN, byte_fallback=False))
    if vocabulary.charsmap is not None:
        backend.normalizer = normalizers.Precompiled(vocabulary.charsmap)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(_WORD_MARK, "always", split=True)]
    )
    backend.decoder = decoders.Metaspace(_WORD_MARK, "always", split=True)
    backend.add_tokens(added)
    end = names["eos_token"]
    backend.post_processor = processors.TemplateProcessing(
        single=["$A", end], special_tokens=[(end, _id(backend, end))]
    )
    return PromptTokenizer(backend, _id(backend, names["pad_token"]))


def _id(backend: Tokenizer, token: str) -> int:
    if (index := backend.token_to_id(token)) is None:
        raise ValueError(f"its vocabulary lacks {token}")
    return index


_BUILDERS: dict[TokenizerKind, Callable[[Path], PromptTokenizer]] = {"clip": _clip, "t5": _t5}
