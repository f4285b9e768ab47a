"""Both tokenizers give transformers' ids for any text, from every layout of their files."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.sentencepiece_file import read_sentencepiece
from run_graph.runtime.models.tiny import TINY_FOLDER
from run_graph.runtime.models.tokenizers import PromptTokenizer, load_tokenizer, token_ids, tokens_beyond
from training.layout.tokenizer_files import CLIP_END, CLIP_START, clip_merges, clip_vocabulary

LENGTH = 24
KINDS = {"clip": "tokenizer", "t5": "tokenizer_2"}

TEXTS = [
    *("", " ", "\t\r\n", "a photo of a fox in the snow", "FOX  Fox\u00a0fox\u2003fox", "fox " * 60, "x" * 90),
    *("don't I'LL it's we're they'd", "1234567 3.14 1,000", "a_b__c (x:1.2) {a|b} <lora:x:1>", "!!!---???"),
    *("<|endoftext|> a <|startoftext|> b", "<|ENDOFTEXT|>fox<|endoftext|>", "end</s> <pad> <unk> x</s>"),
    *("<extra_id_0> fox<extra_id_99>x <extra_id_5>", "\ufb01 \u2460 \uff21\uff42 \u00bd \u33ce"),
    *("e\u0301 \u00e9 \u0130stanbul \u1e9e \u03c2 \u0131", "日本語 한국어 العربية हिन्दी", "🦊🏳️‍🌈👨‍👩‍👧"),
    *("\x00\x01\x7f\u200b\u2028\ufeff x\u0085y", "zażółć gęślą jaźń Œuvre straße naïve", "\u2581 a\u2581b"),
]
_PIECES = [
    *(CLIP_START, CLIP_END, "</s>", "<pad>", "<unk>", "<extra_id_5>"),
    " ",
    "  ",
    "Fox",
    "'s",
    "é",
    "1",
]
_RANDOM = random.Random(0)
TEXTS += ["".join(_RANDOM.choices(_PIECES, k=_RANDOM.randint(1, 12))) for _ in range(150)]

Layout = Callable[[Path], None]


def slow_clip(folder: Path, **config: Any) -> None:
    """The layout of FLUX.1's repositories: vocab.json and merges.txt."""
    folder.mkdir()
    vocabulary = clip_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in clip_merges())]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))


def listed(normalized: bool) -> dict[str, Any]:
    """tokenizer_config.json as FLUX.1's repositories have it."""
    options = {"lstrip": False, "rstrip": False, "single_word": False, "special": True}
    vocabulary = clip_vocabulary()
    entries = {
        str(vocabulary[token]): {"content": token, "normalized": normalized, **options}
        for token in (CLIP_START, CLIP_END)
    }
    names = dict.fromkeys(("eos_token", "pad_token", "unk_token"), CLIP_END)
    return {"added_tokens_decoder": entries, "bos_token": CLIP_START, "do_lower_case": True, **names}


def clip_with_map(folder: Path) -> None:
    """Older files: special_tokens_map.json, where a token is a string or has options; another padding."""
    slow_clip(folder)
    token = {"content": CLIP_END, "lstrip": True, "rstrip": False, "normalized": True, "single_word": False}
    tokens = {"bos_token": CLIP_START, "eos_token": token, "unk_token": token, "pad_token": "!"}
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens))


def clip_with_added(folder: Path) -> None:
    """Tokens of a user's own, in added_tokens.json."""
    slow_clip(folder)
    size = len(clip_vocabulary())
    (folder / "added_tokens.json").write_text(json.dumps({"<my-fox>": size, "Fox": size + 1}))


def tiny(kind: str) -> Layout:
    return lambda folder: shutil.copytree(TINY_FOLDER / KINDS[kind], folder) and None


@pytest.fixture(scope="module")
def spiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model as T5's: Unigram, T5's control pieces and normalisation."""
    folder = tmp_path_factory.mktemp("spiece")
    corpus = folder / "corpus.txt"
    lines = [text for text in TEXTS[3:30] if text.strip() and "\x00" not in text]
    readme = Path(__file__).parents[3] / "README.md"
    corpus.write_text("\n".join([*lines, *readme.read_text(encoding="utf-8").splitlines()]), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "spiece"), vocab_size=700, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=1.0, minloglevel=2,
        normalization_rule_name="nmt_nfkc", hard_vocab_limit=False,
    )  # fmt: skip
    return folder / "spiece.model"


@pytest.fixture(params=["spiece.model", "spiece.model, 7 sentinels", "tokenizer.json"])
def t5_folder(request: pytest.FixtureRequest, spiece: Path, tmp_path: Path) -> Path:
    from transformers import T5Tokenizer

    folder = tmp_path / "t5"
    folder.mkdir()
    shutil.copy(spiece, folder / "spiece.model")
    if "7" in request.param:
        (folder / "tokenizer_config.json").write_text('{"extra_ids": 7, "model_max_length": 512}')
    if request.param == "tokenizer.json":  # with the compiled rules and the sentinels inside, as published
        T5Tokenizer.from_pretrained(folder).save_pretrained(folder)
        (folder / "spiece.model").unlink()
    return folder


CLIP_LAYOUTS: dict[str, Layout] = {
    "tiny": tiny("clip"),
    "without any config": slow_clip,
    "listed tokens": lambda folder: slow_clip(folder, **listed(False)),
    "listed tokens, matched after lower-casing": lambda folder: slow_clip(folder, **listed(True)),
    "special_tokens_map.json": clip_with_map,
    "added_tokens.json": clip_with_added,
}


def ours(kind: Any, folder: Path) -> PromptTokenizer:
    """The tokenizer in `folder`, which becomes that of a checkpoint."""
    root = folder.with_name(f"{folder.name} checkpoint")
    shutil.copytree(folder, root / KINDS[kind])
    return load_tokenizer(Checkpoint("any", folder=root), kind)


def assert_same_ids(tokenizer: PromptTokenizer, reference: Any, text: str) -> None:
    """Padded and cut as mflux asks transformers to, and the text that is cut off."""
    padded = reference([text], padding="max_length", max_length=LENGTH, truncation=True)["input_ids"]
    assert token_ids(tokenizer, text, LENGTH).tolist() == padded, text
    whole = reference(text)["input_ids"]
    assert tokenizer.encode(text) == whole, text
    lost = reference.decode(whole[LENGTH - 1 :], skip_special_tokens=True).strip() or "its last word"
    assert tokens_beyond(tokenizer, text, LENGTH) == (lost if len(whole) > LENGTH else ""), text


@pytest.mark.parametrize("layout", CLIP_LAYOUTS)
def test_clip_gives_transformers_ids(layout: str, tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    folder = tmp_path / "clip"
    CLIP_LAYOUTS[layout](folder)
    tokenizer, reference = ours("clip", folder), CLIPTokenizer.from_pretrained(folder)
    for text in [*TEXTS, "a <my-fox> is a Fox"]:
        assert_same_ids(tokenizer, reference, text)


def test_t5_gives_transformers_ids(t5_folder: Path) -> None:
    from transformers import T5Tokenizer

    tokenizer, reference = ours("t5", t5_folder), T5Tokenizer.from_pretrained(t5_folder)
    for text in TEXTS:
        assert_same_ids(tokenizer, reference, text)


@pytest.fixture(scope="module")
def built_in() -> list[tuple[PromptTokenizer, Any]]:
    """The built-in model's tokenizers, ours and transformers'."""
    import transformers

    checkpoint = Checkpoint("tiny")
    classes = {"clip": transformers.CLIPTokenizer, "t5": transformers.T5Tokenizer}
    return [
        (load_tokenizer(checkpoint, kind), classes[kind].from_pretrained(TINY_FOLDER / KINDS[kind]))  # type: ignore[arg-type]
        for kind in classes
    ]


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_gives_transformers_ids(built_in: list[tuple[PromptTokenizer, Any]], text: str) -> None:
    for tokenizer, reference in built_in:
        assert_same_ids(tokenizer, reference, text)


def test_a_sentencepiece_file_is_read_as_by_its_own_library(spiece: Path) -> None:
    library = sentencepiece.SentencePieceProcessor(model_file=str(spiece))
    expected = [(library.id_to_piece(i), library.get_score(i)) for i in range(library.get_piece_size())]
    model = read_sentencepiece(spiece)
    assert model.pieces == expected
    assert model.charsmap


@pytest.mark.parametrize("kept", [0, 1, 7, 500, -1])
def test_a_sentencepiece_file_cut_short_is_refused(spiece: Path, tmp_path: Path, kept: int) -> None:
    cut = tmp_path / "spiece.model"
    cut.write_bytes(spiece.read_bytes()[:kept])
    with pytest.raises(ValueError, match="not a SentencePiece model"):
        read_sentencepiece(cut)


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("clip", "tokenizer.json", "{"),
        ("clip", "tokenizer.json", "{}"),
        ("clip", "tokenizer.json", '{"model": {"vocab": {"a": 0}, "merges": ["x y"]}}'),
        ("clip", "tokenizer_config.json", '{"added_tokens_decoder": {"x": {}}}'),
        ("t5", "tokenizer.json", '{"model": {"vocab": [["a", 0, 1]]}}'),
        ("t5", "tokenizer_config.json", '{"extra_ids": "many"}'),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, kind: str, name: str, content: str) -> None:
    folder = tmp_path / KINDS[kind]
    shutil.copytree(TINY_FOLDER / KINDS[kind], folder)
    (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match="Download it again") as caught:
        load_tokenizer(Checkpoint("damaged", folder=tmp_path), kind)  # type: ignore[arg-type]
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_code_that_the_files_name_is_not_run(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / KINDS[kind]
    shutil.copytree(TINY_FOLDER / KINDS[kind], folder)
    plain = load_tokenizer(Checkpoint("tiny"), kind)  # type: ignore[arg-type]
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    loaded = load_tokenizer(Checkpoint("evil", folder=tmp_path), kind)  # type: ignore[arg-type]
    assert loaded.encode("a fox") == plain.encode("a fox")
    assert not (tmp_path / "ran").exists()
