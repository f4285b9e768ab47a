"""A recipe as a workflow of native nodes, ready to run, save or draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from run_graph.graph.links import Link
from run_graph.graph.workflow import NodeSpec, Workflow
from run_graph.runtime.formats.mflux.parameters import DECODING, SAMPLING, SEED, parameters_for
from run_graph.runtime.formats.mflux.recipe import Recipe, ReferencePicture

Nodes = dict[str, NodeSpec]

IMAGE = Link("image", 0)
"""The picture in the workflow of a recipe with one seed."""


def workflow_of(recipe: Recipe, prefixes: Mapping[int, str]) -> Workflow:
    """The native graph: everything up to the conditioning once, then sampling and saving for each seed.

    Parameters
    ----------
    recipe : Recipe
    prefixes : mapping
        For each seed of the recipe, the `filename_prefix` of its picture.
    """
    nodes: Nodes = {"flux": _node("LoadFlux", model=recipe.model, quantize=recipe.quantize or "none")}
    flux = _with_loras(nodes, recipe)
    conditioning = _conditioning(nodes, recipe)
    for seed in recipe.seeds:
        mark = _mark(recipe, seed)
        sampling = parameters_for(SAMPLING, recipe.parameters) | {SEED: seed}
        nodes[f"sample{mark}"] = _node(SAMPLING, flux=flux, conditioning=conditioning, **sampling)
        vae, latent = Link("flux", "vae"), Link(f"sample{mark}", "latent")
        decoding = parameters_for(DECODING, recipe.parameters)
        nodes[f"image{mark}"] = _node(DECODING, vae=vae, latent=latent, **decoding)
        nodes[f"save{mark}"] = _node(
            "SaveImage", image=Link(f"image{mark}", "image"), filename_prefix=prefixes[seed]
        )
    return Workflow(nodes)


def save_nodes(recipe: Recipe) -> dict[str, int]:
    """The seed of each SaveImage node in the recipe's workflow, by node id."""
    return {f"save{_mark(recipe, seed)}": seed for seed in recipe.seeds}


def _mark(recipe: Recipe, seed: int) -> str:
    return f"_{seed}" if len(recipe.seeds) > 1 else ""


def _with_loras(nodes: Nodes, recipe: Recipe) -> Link:
    """Chain a node for each LoRA; returns the adapted transformer."""
    flux = Link("flux", "flux")
    for number, lora in enumerate(recipe.loras, start=1):
        nodes[f"lora_{number}"] = _node("LoadLora", flux=flux, lora=lora.path, scale=lora.scale)
        flux = Link(f"lora_{number}", "flux")
    return flux


def _conditioning(nodes: Nodes, recipe: Recipe) -> Link:
    """Chain the prompt and the reference pictures; returns the whole conditioning."""
    nodes["prompt"] = _node("TextEncode", text_encoders=Link("flux", "text_encoders"), prompt=recipe.prompt)
    conditioning = Link("prompt", "conditioning")
    if recipe.references:
        nodes["redux"] = _node("LoadRedux", model=recipe.redux_model, quantize=recipe.redux_quantize)
    for number, picture in enumerate(recipe.references, start=1):
        mark = f"_{number}" if len(recipe.references) > 1 else ""
        _add_reference(nodes, picture, mark)
        nodes[f"both{mark}"] = _node(
            "ConcatConditioning",
            conditioning=conditioning,
            tokens=Link(f"smaller{mark}", "tokens"),
            strength=picture.strength,
        )
        conditioning = Link(f"both{mark}", "conditioning")
    return conditioning


def _add_reference(nodes: Nodes, picture: ReferencePicture, mark: str) -> None:
    """Add the nodes that lead from a picture's file to its reduced tokens."""
    factor = {} if picture.factor is None else {"factor": picture.factor}
    nodes[f"photo{mark}"] = _node("LoadImage", image=picture.path)
    nodes[f"vision{mark}"] = _node(
        "SiglipEncode",
        siglip=Link("redux", "siglip"),
        image=Link(f"photo{mark}", "image"),
        fit=picture.fit,
        resample=picture.resample,
    )
    nodes[f"tokens{mark}"] = _node(
        "ReduxEncode", redux=Link("redux", "redux"), vision=Link(f"vision{mark}", "vision")
    )
    nodes[f"smaller{mark}"] = _node(
        "PatchDownsample",
        tokens=Link(f"tokens{mark}", "tokens"),
        mode=picture.mode,
        interpolation=picture.interpolation,
        **factor,
    )


def _node(class_type: str, **inputs: Any) -> NodeSpec:
    return NodeSpec(class_type, inputs)
