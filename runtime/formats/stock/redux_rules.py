"""What the nodes of Redux become in ComfyUI, where one node makes a picture's tokens and appends them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from run_graph.graph.links import Link
from run_graph.runtime.formats.stock.rewriting import Grid, Rewriting, Tokens, Vision
from run_graph.runtime.formats.stock.rules import Rule
from run_graph.runtime.networks.token_counts import grid_for_factor, grid_for_mode

NEEDS_PACK = "ComfyUI needs the package kaibioinfo/ComfyUI_AdvancedRefluxControl for"
"""A note, which names of classes follow."""

SIDE = 27
"""Tokens per side of SigLIP at 384 pixels, the only one that ComfyUI's files have."""

_CROP = {"crop": "center", "stretch": "none"}


def siglip_encode(new: Rewriting, node_id: str) -> None:
    """SiglipEncode: CLIPVisionEncode, which crops or squashes with a bicubic kernel."""
    fit, resample = new.literal(node_id, "fit"), new.literal(node_id, "resample")
    if fit is not None and fit not in _CROP:
        new.lacks(node_id, "fit", "CLIPVisionEncode crops or squashes pictures", fit)
    if resample not in (None, "bicubic"):
        new.lacks(node_id, "resample", "CLIPVisionEncode resizes with a bicubic kernel", resample)
    siglip, image = new.value(node_id, "siglip"), new.value(node_id, "image")
    inputs = {"clip_vision": siglip, "image": image, "crop": _CROP.get(fit, "center")}
    make = lambda: new.add(node_id, "CLIPVisionEncode", inputs)  # noqa: E731 - one line
    new.outputs[node_id, 0] = Vision(make, siglip=siglip, image=image, fit=fit)


def redux_encode(new: Rewriting, node_id: str) -> None:
    """ReduxEncode becomes a part of the node that appends its tokens."""
    redux, vision = new.value(node_id, "redux"), new.output_into(node_id, "vision")
    if isinstance(redux, Link) and isinstance(vision, (Link, Vision)):
        new.outputs[node_id, 0] = Tokens(redux, vision)


def patch_downsample(new: Rewriting, node_id: str) -> None:
    """PatchDownsample becomes a part of the node that appends its tokens."""
    tokens = new.output_into(node_id, "tokens")
    mode, kernel, factor = (new.literal(node_id, name) for name in ("mode", "interpolation", "factor"))
    if not isinstance(tokens, Tokens) or mode is None or kernel is None:
        return
    side = grid_for_mode(mode, SIDE) if factor is None else grid_for_factor(factor, SIDE)
    if side == SIDE:
        new.outputs[node_id, 0] = tokens
        return
    if tokens.grid is not None:
        new.lacks(node_id, "tokens", "ComfyUI's nodes reduce a grid of tokens once")
    new.outputs[node_id, 0] = replace(tokens, grid=Grid(side, kernel, mode if factor is None else None))


def concat_conditioning(new: Rewriting, node_id: str) -> None:
    """ConcatConditioning: StyleModelApply, or a node of the package for a reduced grid."""
    tokens = new.output_into(node_id, "tokens")
    if not isinstance(tokens, Tokens):
        return
    inputs = {"conditioning": new.value(node_id, "conditioning"), "style_model": tokens.redux}
    if tokens.grid is None:
        how = {"strength": new.value(node_id, "strength"), "strength_type": "multiply"}
        found = "StyleModelApply", {"clip_vision_output": _link(tokens.vision), **how}
    else:
        found = _of_reduced_grid(new, node_id, tokens.vision, tokens.grid)
        new.note(NEEDS_PACK, found[0])
    class_type, seen = found
    new.outputs[node_id, 0] = new.add(node_id, class_type, {**inputs, **seen})


def _of_reduced_grid(
    new: Rewriting, node_id: str, vision: Link | Vision, grid: Grid
) -> tuple[str, dict[str, Any]]:
    """The node of the package that reduces a grid, and its inputs for the picture."""
    strength = new.literal(node_id, "strength")
    if strength == 1 and grid.kernel == _kernel_of_simple(grid.mode):
        return "StyleModelApplySimple", {"clip_vision_output": _link(vision), "image_strength": grid.mode}
    if not isinstance(vision, Vision) or vision.fit != "crop":
        new.lacks(node_id, "tokens", "ReduxAdvanced takes a picture, of which it sees the middle square")
        return "ReduxAdvanced", {}
    return "ReduxAdvanced", {
        "clip_vision": vision.siglip,
        "image": vision.image,
        "downsampling_factor": SIDE / grid.side,
        "downsampling_function": grid.kernel,
        "mode": "center crop (square)",
        "weight": math.sqrt(strength or 0),  # ReduxAdvanced squares it
        "autocrop_margin": 0.1,
    }


REDUX_RULES: Mapping[str, Rule] = {
    "SiglipEncode": siglip_encode,
    "ReduxEncode": redux_encode,
    "PatchDownsample": patch_downsample,
    "ConcatConditioning": concat_conditioning,
}


def _kernel_of_simple(mode: str | None) -> str | None:
    """The kernel that StyleModelApplySimple uses for a mode."""
    return None if mode is None else "area" if mode == "medium" else "bicubic"


def _link(vision: Link | Vision) -> Link:
    return vision.link() if isinstance(vision, Vision) else vision
