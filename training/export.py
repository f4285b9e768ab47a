"""Write the checkpoint that the package ships: `python -m training.export [FOLDER]`.

diffusers' folder layout, bfloat16, from the averaged weights of the runs `decoder`, `vision` and `flow`.
"""

import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from run_graph.runtime.files.inputs import digest
from run_graph.runtime.models.tiny import TINY_FOLDER
from training.layout.files import write_files, write_json
from training.layout.shapes import SHAPES
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


def part_weights(part: str) -> dict[str, Tensor]:
    """The part's tensors in bfloat16 by their published names: exactly those listed in `SHAPES`."""
    run, prefix, published = SOURCES[part]
    trained = averaged_weights(run, prefix)
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
    """Write every file of the checkpoint into `folder`, replacing what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    write_files(folder, SPEC, _write_weights)
    write_manifest(folder)


def _write_weights(part: str, file: Path) -> None:
    save_file(part_weights(part), file, metadata={"format": "pt"})
    file.chmod(0o644)  # safetensors makes it readable by its owner only


def write_manifest(folder: Path) -> None:
    """Record the size and SHA-256 of every file in `folder`; they identify the checkpoint."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = {path.relative_to(folder).as_posix(): [path.stat().st_size, digest(path)] for path in files}
    write_json(folder / "manifest.json", entries)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TINY_FOLDER
    write_checkpoint(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 1e6:.2f} MB")
