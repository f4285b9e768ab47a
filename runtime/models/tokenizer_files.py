"""A tokenizer's files: its vocabulary, and the tokens that text may name.

Three layouts are read: `tokenizer.json` of the package tokenizers, CLIP's `vocab.json` with `merges.txt`, and
SentencePiece's `spiece.model`. The first one found counts, in this order, as in transformers. Everything in
the files is data: a file that names Python code is read as if it did not.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from run_graph.runtime.files.regular import read_regular
from run_graph.runtime.models.inspection import read_json
from run_graph.runtime.models.sentencepiece_file import read_sentencepiece

NAMED = ("bos_token", "eos_token", "unk_token", "pad_token")

_OPTIONS = ("single_word", "lstrip", "rstrip", "normalized")  # of an added token


@dataclass(frozen=True)
class Vocabulary:
    """What a tokenizer's model is made of.

    Attributes
    ----------
    entries
        For BPE, ids by token; for Unigram, pairs of piece and log probability in the order of their ids.
    merges
        BPE's merges, first the most important.
    charsmap
        SentencePiece's compiled normalisation rules; None if the file has none.
    added
        Tokens that are recognised in a text before it is split, if the vocabulary's own file lists them.
    """

    entries: Any
    merges: list[tuple[str, str]] = field(default_factory=list)
    charsmap: bytes | None = None
    added: list[AddedToken] = field(default_factory=list)


def read_vocabulary(folder: Path, sentinels: Sequence[str] = ()) -> Vocabulary:
    """The vocabulary in a tokenizer's folder.

    Parameters
    ----------
    sentinels
        Tokens that follow the pieces of a SentencePiece model, which does not list them.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        If the files are missing or damaged.
    """
    if (path := folder / "tokenizer.json").is_file():
        return _from_json(read_json(path))
    if (path := folder / "vocab.json").is_file():
        return Vocabulary(read_json(path), _merges(folder / "merges.txt"))
    model = read_sentencepiece(folder / "spiece.model")
    return Vocabulary([*model.pieces, *((token, 0.0) for token in sentinels)], charsmap=model.charsmap)


def special_tokens(
    folder: Path, vocabulary: Vocabulary, defaults: Mapping[str, str], extra: Sequence[str]
) -> tuple[dict[str, str], list[AddedToken]]:
    """The named special tokens (`bos_token`, ...), and all tokens that are recognised in a text.

    Parameters
    ----------
    defaults
        The names that the tokenizer has, with their usual tokens.
    extra
        Further special tokens, which apply unless the files list others.
    """
    config = read_json(folder / "tokenizer_config.json")
    if "added_tokens_decoder" in config:
        added = _configured(config["added_tokens_decoder"])
    else:
        config |= read_json(folder / "special_tokens_map.json")
        added = [*_legacy(read_json(folder / "added_tokens.json"), config), *vocabulary.added]
    known = {token.content: token for token in added}
    names = {}
    for name, usual in defaults.items():
        token = _token(config.get(name) or usual)
        names[name] = token.content
        known.setdefault(token.content, token).special = True
    for item in config.get("extra_special_tokens") or config.get("additional_special_tokens") or extra:
        known.setdefault(_token(item).content, _token(item))
    return names, list(known.values())


def _from_json(file: Mapping[str, Any]) -> Vocabulary:
    model = file["model"]
    entries = model["vocab"]
    if isinstance(entries, list):
        entries = [(str(piece), float(score)) for piece, score in entries]
    merges = [tuple(each.split(" ") if isinstance(each, str) else each) for each in model.get("merges", ())]
    return Vocabulary(entries, merges, _charsmap(file.get("normalizer")), _added(file))


def _merges(path: Path) -> list[tuple[str, str]]:
    lines = read_regular(path).decode().splitlines()
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    return [(left, right) for left, right in pairs]


def _charsmap(normalizer: Any) -> bytes | None:
    """The compiled rules of a `Precompiled` normalizer, alone or in a sequence."""
    for each in (normalizer or {}).get("normalizers", [normalizer]):
        if each and each.get("type") == "Precompiled":
            return base64.b64decode(each["precompiled_charsmap"])
    return None


def _added(file: Mapping[str, Any]) -> list[AddedToken]:
    return [_token(entry) for entry in sorted(file.get("added_tokens", ()), key=lambda entry: entry["id"])]


def _configured(listed: Mapping[str, Any]) -> list[AddedToken]:
    """The tokens that tokenizer_config.json lists by their ids."""
    return [_token(listed[index]) for index in sorted(listed, key=int)]


def _legacy(ids: Mapping[str, int], config: Mapping[str, Any]) -> Iterator[AddedToken]:
    """The tokens of added_tokens.json, which older versions of transformers wrote."""
    special = {_token(config[name]).content for name in NAMED if config.get(name)}
    for text in sorted(ids, key=ids.__getitem__):
        yield AddedToken(text, normalized=text not in special, special=text in special)


def _token(item: Any) -> AddedToken:
    """A token as files write it: a string, or its text with options."""
    if isinstance(item, str):
        return AddedToken(item, special=True)
    options = {name: item[name] for name in _OPTIONS if name in item}
    return AddedToken(item["content"], special=bool(item.get("special", True)), **options)
