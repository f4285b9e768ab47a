"""Colours of a picture: ComfyUI's dark canvas and its colours of socket types."""

from __future__ import annotations

import colorsys
import zlib

CANVAS, BODY, BORDER, WELL = "#1f2023", "#34363b", "#4d5057", "#26282c"
TEXT, DIM = "#e6e7ea", "#a4a8b0"
FAULT, FAULT_TITLE = "#ff6b6b", "#7a2e33"

# The first nine are ComfyUI's default palette. ComfyUI has no colour for the others.
_SOCKETS = {
    "MODEL": "#b39ddb",
    "CLIP": "#ffd500",
    "VAE": "#ff6e6e",
    "CONDITIONING": "#ffa931",
    "LATENT": "#ff9cf9",
    "IMAGE": "#64b5f6",
    "MASK": "#81c784",
    "CLIP_VISION": "#a8dadc",
    "STYLE_MODEL": "#c2ffae",
    "CLIP_VISION_OUTPUT": "#c98f6a",
    "REDUX_TOKENS": "#5fd3a8",
    "INT": "#8fb5a0",
    "FLOAT": "#8fb5a0",
    "STRING": "#b8b08a",
    "BOOLEAN": "#a99bb8",
    "COMBO": "#b8b08a",
    "*": "#c4c6cb",
}

_CATEGORIES = {
    "image": "#2c557d",
    "loaders": "#57457f",
    "redux": "#33664a",
    "conditioning": "#78561f",
    "sampling": "#743d5c",
    "": "#4a4d55",
}


def socket_colour(socket: str) -> str:
    """The colour of a socket type as ``#rrggbb``; an unknown type has the same one in every run."""
    first = socket.split(",")[0]
    return _SOCKETS.get(first) or _hashed(first, lightness=0.7, saturation=0.5)


def title_colour(category: str) -> str:
    """The colour of the title bar of a node category; subcategories share their parent's."""
    top = category.split("/")[0].casefold()
    return _CATEGORIES.get(top) or _hashed(top, lightness=0.32, saturation=0.4)


def _hashed(name: str, lightness: float, saturation: float) -> str:
    hue = zlib.crc32(name.encode("utf-8", "replace")) % 360 / 360
    channels = colorsys.hls_to_rgb(hue, lightness, saturation)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in channels)
