"""ComfyUI's classes that have another name now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Renamed:
    """The new name of a class, the new names of its inputs if they changed, and values to add."""

    name: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    added: Mapping[str, Any] = field(default_factory=dict)


RENAMED: Mapping[str, Renamed] = {
    "ConditioningAverage ": Renamed("ConditioningAverage"),
    "T2IAdapterLoader": Renamed("ControlNetLoader", {"t2i_adapter_name": "control_net_name"}),
    "ResizeImagesByLongerEdge": Renamed(
        "ImageScaleToMaxDimension",
        {"images": "image", "longer_edge": "largest_size"},
        {"upscale_method": "lanczos"},
    ),
}
"""Old names of ComfyUI's classes. Source: ComfyUI 0.33, comfy_extras/nodes_replacements.py."""
