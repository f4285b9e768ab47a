"""Token ids of captions, from the tokenizers in the checkpoint."""

from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from torch import Tensor

from training.layout.spec import CLIP_TOKENS
from training.layout.tokenizer_files import write_clip_tokenizer, write_t5_tokenizer
from training.sizes import SPEC


class Tokenizers:
    """T5's and CLIP's tokenizers; the ids of each caption are cached."""

    def __init__(self) -> None:
        from transformers import CLIPTokenizer, T5Tokenizer

        folder = Path(mkdtemp(prefix="tiny-tokenizers-"))
        write_clip_tokenizer(folder / "clip")
        write_t5_tokenizer(folder / "t5", SPEC.t5_tokens)
        self._clip = CLIPTokenizer.from_pretrained(folder / "clip")
        self._t5 = T5Tokenizer.from_pretrained(folder / "t5")
        self._ids = lru_cache(maxsize=None)(self._encode)

    def __call__(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """T5's ids (B, 24) and CLIP's ids (B, 77), int64."""
        t5, clip = zip(*(self._ids(text) for text in captions), strict=True)
        return torch.tensor(t5), torch.tensor(clip)

    def _encode(self, text: str) -> tuple[list[int], list[int]]:
        t5 = self._t5(text, padding="max_length", max_length=SPEC.t5_tokens, truncation=True)
        clip = self._clip(text, padding="max_length", max_length=CLIP_TOKENS, truncation=True)
        return t5["input_ids"], clip["input_ids"]
