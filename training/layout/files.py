"""The files of a checkpoint in diffusers' folder layout, except its weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.layout import configs
from training.layout.spec import TinySpec
from training.layout.tokenizer_files import write_clip_tokenizer, write_t5_tokenizer

_TRANSFORMERS_PARTS = ("text_encoder", "text_encoder_2", "image_encoder")


def write_files(folder: Path, spec: TinySpec, write_weights: Callable[[str, Path], None]) -> None:
    """Write every file of a checkpoint into `folder`, which must not exist yet.

    `write_weights` writes the weights of a part, such as `transformer`, into the given safetensors file.
    """
    folder.mkdir(parents=True)
    for part, config in configs.configs(spec).items():
        write_json(folder / part / "config.json", config)
        stem = "model" if part in _TRANSFORMERS_PARTS else "diffusion_pytorch_model"
        write_weights(part, folder / part / f"{stem}.safetensors")
    write_clip_tokenizer(folder / "tokenizer")
    write_t5_tokenizer(folder / "tokenizer_2", spec.t5_tokens)
    write_json(folder / "scheduler" / "scheduler_config.json", configs.scheduler(spec))
    write_json(folder / "model_index.json", configs.model_index())


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write indented JSON; missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
