"""What of a prompt FLUX will not read as it was meant: the end of a long one, and other programs' syntax."""

from __future__ import annotations

import re
from collections.abc import Iterator

from run_graph.graph.faults import shorten
from run_graph.runtime.models.checkpoint_facts import max_text_tokens
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.models.tokenizers import CLIP_TOKENS, tokens_beyond

# Syntax of ComfyUI, AUTOMATIC1111 and their extensions, which is plain text here.
_FOREIGN = {
    "a weight": re.compile(r"\([^()]+:\s*-?[\d.]+\)"),
    "a LoRA": re.compile(r"<(?:lora|lyco|hypernet):[^<>]+>"),
    "alternatives": re.compile(r"\{[^{}]*\|[^{}]*\}"),
    "a wildcard": re.compile(r"__[\w/-]+__"),
    "an embedding": re.compile(r"\bembedding:\w+"),
}
_INSTEAD = {
    "a weight": "FLUX has no weights for words",
    "a LoRA": "use a LoadLora node",
    "alternatives": "use --sweep",
    "a wildcard": "use --sweep",
    "an embedding": "FLUX has no textual-inversion embeddings",
}


def prompt_notes(store: ModelStore, checkpoint: Checkpoint, prompt: str) -> Iterator[str]:
    """Sentences for the user, one for each thing; nothing for an ordinary prompt."""
    yield from foreign_syntax(prompt)
    limit = max_text_tokens(checkpoint)
    if lost := tokens_beyond(store.tokenizer(checkpoint, "t5"), prompt, limit):
        yield (
            f"the prompt is too long: T5 reads its first {limit} tokens, and the end from "
            f"{shorten(lost, 60)} on is ignored; shorten it"
        )
    elif tokens_beyond(store.tokenizer(checkpoint, "clip"), prompt, CLIP_TOKENS):
        yield (
            f"the prompt is longer than CLIP's {CLIP_TOKENS} tokens: T5 reads all of it, but CLIP, which "
            "sets the overall tone, only its beginning"
        )


def foreign_syntax(prompt: str) -> Iterator[str]:
    """A sentence for each kind of another program's prompt syntax that the prompt contains."""
    for kind, pattern in _FOREIGN.items():
        if match := pattern.search(prompt):
            yield (
                f"{shorten(match[0], 40)} looks like {kind} in another program's syntax, and is read as "
                f"plain words: {_INSTEAD[kind]}"
            )
