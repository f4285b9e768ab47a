"""The parts of a FLUX.1 + Redux checkpoint and their folders (diffusers' layout)."""

from typing import Literal, get_args

FluxComponent = Literal["transformer", "vae", "text_encoder", "text_encoder_2"]
ReduxComponent = Literal["image_encoder", "image_embedder"]
Component = FluxComponent | ReduxComponent
TokenizerKind = Literal["clip", "t5"]
Bits = Literal[3, 4, 5, 6, 8]

FLUX_COMPONENTS: tuple[FluxComponent, ...] = get_args(FluxComponent)
REDUX_COMPONENTS: tuple[ReduxComponent, ...] = get_args(ReduxComponent)
COMPONENTS: tuple[Component, ...] = (*FLUX_COMPONENTS, *REDUX_COMPONENTS)
QUANTIZE_BITS: tuple[Bits, ...] = get_args(Bits)

TRANSFORMER_ONLY: tuple[Component, ...] = ("transformer",)
TEXT_ENCODERS: tuple[Component, ...] = ("text_encoder", "text_encoder_2")

TOKENIZER_FOLDERS: dict[TokenizerKind, str] = {"clip": "tokenizer", "t5": "tokenizer_2"}
SCHEDULER_FOLDER = "scheduler"

# Every folder that a model handle may need: weights and tokenizers.
FLUX_PARTS: tuple[str, ...] = (*FLUX_COMPONENTS, *TOKENIZER_FOLDERS.values())
TEXT_PARTS: tuple[str, ...] = ("text_encoder", "text_encoder_2", *TOKENIZER_FOLDERS.values())
REDUX_PARTS: tuple[str, ...] = REDUX_COMPONENTS


def file_patterns(part: str) -> list[str]:
    """Download patterns of the files of a repository that belong to `part` (the name of a folder)."""
    if part in COMPONENTS:
        return [f"{part}/*.json", f"{part}/*.safetensors"]
    return [f"{part}/*"]
