"""Pictures drawn by the `run-graph` command, for the evaluations that use it."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.pictures import Pictures

WORKFLOWS = Path(__file__).parent.parent / "workflows"


def run_graph(workflow: str, output: Path, *options: str) -> None:
    """Run one of the example workflows; raises CalledProcessError if it fails."""
    command = ["run-graph", str(WORKFLOWS / workflow), "--quiet", "--output", str(output), *options]
    subprocess.run(command, check=True)


def saved(output: Path, names: Sequence[str], name_of: Callable[[dict[str, Any]], str]) -> Pictures:
    """The pictures in a folder, (n, 96, 96, 3) in [0, 1], in the order of `names`.

    `name_of` gives a picture's name from the settings stored in its file.
    """
    found: dict[str, Pictures] = {}
    for file in sorted(output.glob("*.png")):
        with Image.open(file) as image:
            name = name_of(json.loads(image.info["run_graph"]))
            found[name] = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    return np.stack([found[name] for name in names])
