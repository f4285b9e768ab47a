"""Small pictures of what a sampling aims at, for clients that watch it."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from run_graph.runtime.events import NodeProgress
from run_graph.runtime.server.hub import JPEG, Hub

_LARGEST = 512  # pixels of the longer side
_QUALITY = 85
_SHARE = 0.02  # of the time of a run that previews may take


class Previews:
    """Sends a picture of each step, unless pictures took more than their share of the time.

    Parameters
    ----------
    hub : Hub
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._next = 0.0

    def show(self, event: NodeProgress, about: dict[str, Any], client: str | None) -> None:
        """Send what a step aims at, if there is a picture of it and somebody listens."""
        began = time.perf_counter()
        if event.picture is None or not self._hub.connected or began < self._next:
            return
        self._hub.post_preview(_jpeg(event.picture()), JPEG, about, client)
        ended = time.perf_counter()
        self._next = ended + (ended - began) * (1 / _SHARE - 1)


def _jpeg(pictures: npt.NDArray[np.uint8]) -> bytes:
    """The first of some pictures, (B, h, w, 3) uint8, enlarged as the decoder would: by 8, to 512 at most."""
    from PIL import Image

    picture = Image.fromarray(pictures[0])
    scale = min(8, _LARGEST / max(picture.size))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    buffer = io.BytesIO()
    picture.resize((width, height), Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
