"""Pictures drawn by the shipped model in this process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from small import WORKFLOWS, shipped

from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.models.store import ModelStore

GOLDEN = Path(__file__).parent / "golden"
MODES = ["lowest", "low", "medium", "high", "highest"]


class Painter:
    """Runs example workflows with replaced inputs; models stay loaded."""

    def __init__(self) -> None:
        self._session = Session(services=Services(ModelStore()))

    def draw(self, name: str, inputs: Mapping[str, Any]) -> np.ndarray:
        """The picture of node `image`, (96, 96, 3) float32 in [0, 1].

        `inputs` maps "node.input" to values.
        """
        workflow = shipped(name)
        for place, value in inputs.items():
            node_id, _, input_name = place.partition(".")
            workflow = workflow.with_input(node_id, input_name, value)
        environment = RunEnvironment([WORKFLOWS], Path("output"))
        result = self._session.run(workflow, targets=["image"], environment=environment)
        return np.asarray(result.outputs("image").image.pixels[0])  # type: ignore[attr-defined]


def read(path: Path) -> np.ndarray:
    """A picture file, (h, w, 3) float32 in [0, 1]."""
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
