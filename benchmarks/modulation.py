"""What sampling needs of memory with the modulation layers kept and streamed, at FLUX's own width."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
import numpy as np

from benchmarks.memory import start_process_peak
from benchmarks.report import Section, Table
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.sampling.batch import begin, sample
from run_graph.runtime.sampling.schedules import sigmas
from training.layout.files import write_files
from training.layout.shapes import SHAPES
from training.layout.spec import TinySpec

SIDE, STEPS, PROMPT_TOKENS = 32, 2, 8
WIDE = TinySpec(heads=24, head_size=128, rope_axes=(16, 56, 56), joint_blocks=2, single_blocks=3)
BITS = (None, 4)

_TEXT = """\
Two joint and three single blocks of FLUX.1's width with random weights, stored in bfloat16; 32 x 32 pixels,
two steps of euler. Each run is a process of its own. *kept*: the whole transformer in memory; *streamed*
(`--low-ram`, or where memory is short): each modulation layer is read, used for all steps and let go.
*process*: peak of resident memory, in addition to what the process held before it loaded the model; *MLX*:
its own count. Neither keeps freed memory for reuse. The latents of both are compared bit by bit.
"""


_NOTE = """\
While the largest of these layers is read, it takes 0.3 GB in its stored and its computed precision, which
hides some of the saving where blocks are as few as here. In all blocks of FLUX.1 they take 6.5 GB in
bfloat16, 3.5 GB in 8 bits and 1.8 GB in 4 bits (from their shapes).
"""


def measure(quick: bool) -> Section:
    """Every precision."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "wide"
        write_files(model, WIDE, _write_weights)
        for bits in BITS[-1:] if quick else BITS:
            kept, streamed = (_in_own_process(model, bits, low_ram) for low_ram in (False, True))
            assert kept["digest"] == streamed["digest"], "the latents differ"
            rows.append(
                [
                    "none" if bits is None else f"{bits} bits",
                    *(f"{each[what] / 1e9:.2f}" for what in ("process", "mlx") for each in (kept, streamed)),
                    f"{1 - streamed['mlx'] / kept['mlx']:.0%}",
                ]
            )
    headings = ["quantize", "process kept, GB", "streamed", "MLX kept, GB", "streamed", "saved"]
    return Section("Modulation layers", _TEXT, [Table(headings, rows)], ["mlx"], [_NOTE.strip()])


def _write_weights(part: str, file: Path) -> None:
    scale = 1 / np.sqrt(WIDE.width)
    tensors = {
        name: (mx.random.normal(shape) * (scale if len(shape) > 1 else 1)).astype(mx.bfloat16)
        for name, shape in SHAPES[part](WIDE)
    }
    mx.save_safetensors(str(file), tensors, {"format": "pt"})


def _in_own_process(model: Path, bits: int | None, low_ram: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.modulation", str(model), json.dumps([bits, low_ram])]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def _sampled(model: Path, bits: int | None, low_ram: bool) -> dict[str, object]:
    held = start_process_peak()
    transformer = ModelStore(low_ram=low_ram, cache_limit=0).transformer(
        Checkpoint("wide", folder=model), bits
    )
    text, pooled = transformer.conditioning_widths
    tokens = mx.random.normal((1, PROMPT_TOKENS, text), key=mx.random.key(1))
    vector = mx.random.normal((1, pooled), key=mx.random.key(2))
    prepared = transformer.prepare(tokens, vector, 3.5, SIDE, SIDE)
    levels = sigmas(STEPS, SIDE, SIDE, shift=True)
    for step in sample(transformer, prepared, begin(1, 1, SIDE, SIDE, 1), levels):
        mx.eval(step.latents)
    return {
        "process": held.peak() or 0,
        "mlx": mx.get_peak_memory(),
        "digest": hashlib.sha256(np.array(step.latents).tobytes()).hexdigest(),
    }


if __name__ == "__main__":
    print(json.dumps(_sampled(Path(sys.argv[1]), *json.loads(sys.argv[2]))))
