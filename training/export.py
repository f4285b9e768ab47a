"""Write the checkpoint that the package ships: `python -m training.export [FOLDER]`.

diffusers' folder layout, bfloat16, from the averaged weights of the runs `decoder`, `vision` and `flow`.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from runtime.models.tiny import TINY_FOLDER
from training.layout import configs
from training.layout.shapes import SHAPES
from training.layout.tokenizer_files import write_clip_tokenizer, write_t5_tokenizer
from training.running import averaged_weights
from training.sizes import SPEC

# Part -> (run, prefix of its weights there, prefix of them in the published layout).
SOURCES = {
    "transformer": ("flow", "transformer.", ""),
    "text_encoder_2": ("flow", "t5.", ""),
    "text_encoder": ("flow", "clip.", "text_model."),
    "image_embedder": ("flow", "redux.", ""),
    "image_encoder": ("vision", "siglip.", "vision_model."),
    "vae": ("decoder", "", ""),
}
TRANSFORMERS_PARTS = ("text_encoder", "text_encoder_2", "image_encoder")


def part_weights(part: str) -> dict[str, Tensor]:
    """The part's tensors by their published names, bfloat16; exactly those that `SHAPES` lists."""
    run, prefix, published = SOURCES[part]
    trained = {
        name.removeprefix(prefix): tensor
        for name, tensor in averaged_weights(run).items()
        if name.startswith(prefix)
    }
    tensors = {}
    for name, shape in SHAPES[part](SPEC):
        tensor = trained.get(name, trained.get(name.removeprefix(published)))
        if tensor is None or tuple(tensor.shape) != shape:
            raise SystemExit(
                f"{part}: {name} should be {shape}, not {None if tensor is None else tuple(tensor.shape)}"
            )
        tensors[name] = tensor.to(torch.bfloat16).contiguous()
    return tensors


def write_checkpoint(folder: Path) -> None:
    """Write every file of the checkpoint into `folder`, in place of what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    for part, config in configs.configs(SPEC).items():
        stem = "model" if part in TRANSFORMERS_PARTS else "diffusion_pytorch_model"
        _write_json(folder / part / "config.json", config)
        save_file(part_weights(part), folder / part / f"{stem}.safetensors", metadata={"format": "pt"})
    write_clip_tokenizer(folder / "tokenizer")
    write_t5_tokenizer(folder / "tokenizer_2", SPEC.t5_tokens)
    _write_json(folder / "scheduler" / "scheduler_config.json", configs.scheduler(SPEC))
    _write_json(folder / "model_index.json", configs.model_index())
    write_manifest(folder)


def write_manifest(folder: Path) -> None:
    """Record the size and SHA-256 of every file in `folder`: the checkpoint's identity."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = {
        path.relative_to(folder).as_posix(): [
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        ]
        for path in files
    }
    _write_json(folder / "manifest.json", entries)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TINY_FOLDER
    write_checkpoint(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 1e6:.2f} MB")
