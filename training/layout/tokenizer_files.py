"""Small tokenizers in the formats that FLUX's two text encoders use.

CLIP's is a byte-level BPE: every UTF-8 byte is a token, alone or with `</w>` at the end of a word, so any
text can be encoded. T5's is a Unigram model over the characters below and a few words; other characters
become `<unk>`. Both have the layout of transformers' CLIPTokenizer and T5Tokenizer, which rebuild
themselves from the vocabulary in `tokenizer.json`.
"""

import json
from pathlib import Path

from training.layout.spec import CLIP_TOKENS

CLIP_START, CLIP_END = "<|startoftext|>", "<|endoftext|>"
T5_PAD, T5_END, T5_UNKNOWN = "<pad>", "</s>", "<unk>"
WORD_MARK = "\u2581"  # How SentencePiece writes the space before a word.

# Words used in prompts: one T5 token each; other words are spelled out.
_VOCABULARY = """
a an the of in on at by with and or to for from as is are no not very over under near this that
photo picture image painting drawing sketch portrait landscape illustration style art digital oil
watercolor cartoon anime realistic detailed abstract vintage modern high quality light dark bright
colorful soft warm cold red orange yellow green blue purple pink brown black white gray gold silver
small large big old young beautiful happy sad wild fox cat dog bird horse fish bear lion wolf animal
man woman boy girl person people face eyes hair hand tree flower forest mountain river lake sea ocean
beach sky cloud sun moon star night day morning evening sunset rain snow winter summer autumn spring
city street house castle room window door table chair car train boat road bridge garden field fire
water stone wood glass metal food fruit apple cake coffee book music dance space robot dragon magic
banana pear cherries strawberry grapes watermelon pineapple carrot mushroom pizza hamburger doughnut
teapot panda rabbit pig frog owl penguin duck turtle snail butterfly ladybug spider octopus crab elephant
unicorn cactus palm pine sunflower tulip leaf rainbow snowman volcano bus bicycle airplane rocket sailboat
guitar umbrella crown balloon ghost heart shaded flat line background icon emoji
"""
WORDS = _VOCABULARY.split()


def _byte_alphabet() -> list[str]:
    """The printable character for each byte in byte-level BPE (GPT-2's table)."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    substitutes = {byte: chr(256 + index) for index, byte in enumerate(others)}
    return [substitutes.get(byte, chr(byte)) for byte in range(256)]


def clip_vocabulary() -> dict[str, int]:
    """CLIP's tokens and ids. The end token has the highest id, by which pooling finds it."""
    letters = _byte_alphabet()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["".join(pair) for pair in clip_merges()]
    return {token: index for index, token in enumerate([*tokens, CLIP_START, CLIP_END])}


def clip_merges() -> list[tuple[str, str]]:
    """BPE merges that build each of `WORDS` from its letters, left to right, without duplicates."""
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        head = pieces[0]
        for piece in pieces[1:]:
            merges.setdefault((head, piece))
            head += piece
    unique: dict[str, tuple[str, str]] = {}
    for left, right in merges:
        unique.setdefault(left + right, (left, right))
    return list(unique.values())


def t5_pieces() -> list[tuple[str, float]]:
    """T5's pieces with their log probabilities, in the order of their ids."""
    special = [(T5_PAD, 0.0), (T5_END, 0.0), (T5_UNKNOWN, 0.0)]
    letters = [WORD_MARK, *map(chr, range(0x21, 0x7F)), *map(chr, range(0xA1, 0x180))]
    words = [(WORD_MARK + word, -6.0) for word in WORDS]
    return [*special, *((letter, -9.0) for letter in letters), *words]


def write_clip_tokenizer(folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` of the CLIP tokenizer into `folder`."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    vocabulary = clip_vocabulary()
    model = BPE(vocabulary, clip_merges(), end_of_word_suffix="</w>", unk_token=CLIP_END)
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": CLIP_TOKENS,
        "bos_token": CLIP_START,
        "eos_token": CLIP_END,
        "pad_token": CLIP_END,
        "unk_token": CLIP_END,
    }
    _write(folder, Tokenizer(model).to_str(), config)


def write_t5_tokenizer(folder: Path, max_length: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` of the T5 tokenizer into `folder`."""
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram

    config = {
        "tokenizer_class": "T5Tokenizer",
        "model_max_length": max_length,
        "extra_ids": 0,
        "eos_token": T5_END,
        "pad_token": T5_PAD,
        "unk_token": T5_UNKNOWN,
    }
    _write(folder, Tokenizer(Unigram(t5_pieces(), unk_id=2)).to_str(), config)


def _write(folder: Path, tokenizer: str, config: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
