"""What each of run-graph's own nodes becomes in ComfyUI, except those of Redux."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from run_graph.graph.links import Link
from run_graph.runtime.formats.stock.model_files import FLUX_FILES, REDUX_FILES, alias_of, is_guided_file
from run_graph.runtime.formats.stock.rewriting import Later, Rewriting

Rule = Callable[[Rewriting, str], None]

MAXIMUM_SHIFT, BASE_SHIFT = 1.15, 0.5
"""FLUX.1 dev's shift of noise levels at 1024 x 1024 and 256 x 256 pixels, as ModelSamplingFlux takes them."""

NOT_PACKED = "quantize is left out, because ComfyUI's loaders do not pack weights"
"""A note, which names of nodes follow."""

_SUFFIX = ".safetensors"
_NOISE = (
    "the noise of a seed is PyTorch's in ComfyUI, so that pictures differ; prompts are read there with at "
    "least 256 tokens rather than 512, and pictures cut to 8 bits rather than rounded"
)


def load_flux(new: Rewriting, node_id: str) -> None:
    """LoadFlux: a loader for each part that is used."""
    files = FLUX_FILES.get(alias_of(new.literal(node_id, "model") or ""))
    if files is None:
        _unknown_model(new, node_id)
        return
    _note_model(new, node_id)
    encoders = {"clip_name1": files.clip, "clip_name2": files.t5, "type": "flux", "device": "default"}
    unet = {"unet_name": files.transformer, "weight_dtype": "default"}
    _later(new, (node_id, 0), node_id, "UNETLoader", unet)
    _later(new, (node_id, 1), f"{node_id}_text_encoders", "DualCLIPLoader", encoders)
    _later(new, (node_id, 2), f"{node_id}_vae", "VAELoader", {"vae_name": files.vae})


def load_redux(new: Rewriting, node_id: str) -> None:
    """LoadRedux: a loader for each part that is used."""
    files = REDUX_FILES.get(alias_of(new.literal(node_id, "model") or ""))
    if files is None:
        _unknown_model(new, node_id)
        return
    _note_model(new, node_id)
    _later(new, (node_id, 0), f"{node_id}_vision", "CLIPVisionLoader", {"clip_name": files.vision})
    _later(new, (node_id, 1), node_id, "StyleModelLoader", {"style_model_name": files.style_model})


def load_lora(new: Rewriting, node_id: str) -> None:
    """LoadLora: LoraLoader, or the loader that leaves text encoders alone."""
    lora = new.literal(node_id, "lora") or ""
    name = re.split(r"[/\\:]", lora.strip())[-1]
    if not name.endswith(_SUFFIX):
        new.lacks(node_id, "lora", f"ComfyUI names a LoRA by a {_SUFFIX} file", lora)
        return
    new.note("put into ComfyUI's folder models/loras", name)
    scale = new.value(node_id, "scale")
    inputs = {"model": new.value(node_id, "flux"), "lora_name": name, "strength_model": scale}
    if new.output_into(node_id, "text_encoders") is None:
        new.outputs[node_id, 0] = new.add(node_id, "LoraLoaderModelOnly", inputs)
        return
    text_scale = new.value(node_id, "text_scale")
    inputs["clip"] = new.value(node_id, "text_encoders")
    inputs["strength_clip"] = scale if text_scale is None else text_scale
    link = new.add(node_id, "LoraLoader", inputs)
    new.outputs[node_id, 0], new.outputs[node_id, 1] = link, Link(link.node_id, 1)


def text_encode(new: Rewriting, node_id: str) -> None:
    """TextEncode: CLIPTextEncode, with parentheses that mean themselves."""
    prompt = new.value(node_id, "prompt")
    if isinstance(prompt, str):
        prompt = re.sub(r"[()]", r"\\\g<0>", prompt)
    inputs = {"text": prompt, "clip": new.value(node_id, "text_encoders")}
    new.outputs[node_id, 0] = new.add(node_id, "CLIPTextEncode", inputs)


def flux_sample(new: Rewriting, node_id: str) -> None:
    """FluxSample: SamplerCustomAdvanced with noise, guider, sampler, noise levels and an empty latent."""
    model, conditioning = new.value(node_id, "flux"), new.value(node_id, "conditioning")
    is_guided, is_shifted = _about_model(new, node_id)
    if is_guided is None:
        new.lacks(
            node_id, "flux", "it is not known whether this model shifts noise levels and takes guidance"
        )
        return
    if new.literal(node_id, "step_reuse"):
        new.lacks(node_id, "step_reuse", "ComfyUI's nodes run the network at every step")
    size = {name: new.value(node_id, name) for name in ("width", "height")}
    if is_guided and not is_shifted:
        shift = {"max_shift": MAXIMUM_SHIFT, "base_shift": BASE_SHIFT}
        model = new.add(f"{node_id}_shift", "ModelSamplingFlux", {"model": model, **shift, **size})
    if is_guided and not _sets_guidance(new, node_id):
        guidance = {"conditioning": conditioning, "guidance": new.value(node_id, "guidance")}
        conditioning = new.add(f"{node_id}_guidance", "FluxGuidance", guidance)
    schedule = new.literal(node_id, "schedule")
    levels = {
        "model": model,
        "scheduler": "simple" if schedule == "linear" else schedule,  # the same, on a grid of 1/10000
        "steps": new.value(node_id, "steps"),
        "denoise": 1.0,
    }
    guider = {"model": model, "conditioning": conditioning}
    sampler = {"sampler_name": new.value(node_id, "sampler")}
    latent = {**size, "batch_size": new.value(node_id, "batch_size")}
    inputs = {
        "noise": new.add(f"{node_id}_noise", "RandomNoise", {"noise_seed": new.value(node_id, "seed")}),
        "guider": new.add(f"{node_id}_guider", "BasicGuider", guider),
        "sampler": new.add(f"{node_id}_sampler", "KSamplerSelect", sampler),
        "sigmas": new.add(f"{node_id}_levels", "BasicScheduler", levels),
        "latent_image": new.add(f"{node_id}_latent", "EmptySD3LatentImage", latent),
    }
    new.note(_NOISE)
    new.outputs[node_id, 0] = new.add(node_id, "SamplerCustomAdvanced", inputs)


def decode_latent(new: Rewriting, node_id: str) -> None:
    """DecodeLatent: VAEDecode, whole."""
    if (side := new.literal(node_id, "tile_size")) != 0:
        new.lacks(node_id, "tile_size", "ComfyUI's tiles are other ones; 0 decodes the picture whole", side)
    inputs = {"samples": new.value(node_id, "latent"), "vae": new.value(node_id, "vae")}
    new.outputs[node_id, 0] = new.add(node_id, "VAEDecode", inputs)


def load_image(new: Rewriting, node_id: str) -> None:
    """LoadImage is ComfyUI's, except for what ours has besides."""
    for name, same in (("background", "none"), ("frames", "all")):
        if (value := new.literal(node_id, name)) != same:
            new.lacks(node_id, name, "ComfyUI's LoadImage has no such input", value)
    image = new.value(node_id, "image")
    if isinstance(image, str):
        if os.path.isabs(image) or image.startswith(("~", "..")):
            image = os.path.basename(image)
        new.note("copy into ComfyUI's folder input", image)
    link = new.add(node_id, "LoadImage", {"image": image})
    new.outputs[node_id, 0], new.outputs[node_id, 1] = link, Link(link.node_id, 1)


def save_image(new: Rewriting, node_id: str) -> None:
    """SaveImage is ComfyUI's, which writes PNG with the graph."""
    for name, same in (("format", "png"), ("metadata", "all")):
        if (value := new.literal(node_id, name)) != same:
            new.lacks(node_id, name, f"ComfyUI's SaveImage has no such input; there it is {same!r}", value)
    inputs = {name: new.value(node_id, name) for name in ("images", "filename_prefix")}
    new.outputs[node_id, 0] = new.add(node_id, "SaveImage", inputs)


RULES: Mapping[str, Rule] = {
    "LoadFlux": load_flux,
    "LoadRedux": load_redux,
    "LoadLora": load_lora,
    "TextEncode": text_encode,
    "FluxSample": flux_sample,
    "DecodeLatent": decode_latent,
    "LoadImage": load_image,
    "SaveImage": save_image,
}


def _later(
    new: Rewriting, old: tuple[str, int], node_id: str, class_type: str, inputs: Mapping[str, Any]
) -> None:
    new.outputs[old] = Later(lambda: new.add(node_id, class_type, inputs))


def _unknown_model(new: Rewriting, node_id: str) -> None:
    model = new.workflow.nodes[node_id].inputs.get("model")
    if not isinstance(model, Link):
        new.lacks(node_id, "model", "ComfyUI reads single files, and this model is none that is known", model)


def _note_model(new: Rewriting, node_id: str) -> None:
    model, quantize = (new.workflow.nodes[node_id].inputs.get(name) for name in ("model", "quantize"))
    if str(model).startswith("tiny"):
        new.note("the built-in model has no files for ComfyUI; choose another with --set", node_id)
    if quantize != "none":
        new.note(NOT_PACKED, node_id)


def _about_model(new: Rewriting, node_id: str) -> tuple[bool | None, bool]:
    """Whether the model of a FluxSample node takes guidance, and whether its noise levels are set already."""
    is_shifted = False
    link = new.workflow.nodes[node_id].inputs.get("flux")
    while isinstance(link, Link):
        spec = new.workflow.nodes[link.node_id]
        is_shifted = is_shifted or spec.class_type == "ModelSamplingFlux"
        if spec.class_type == "LoadFlux":
            files = FLUX_FILES.get(alias_of(str(spec.inputs["model"])))
            # A model that is not known is reported at its own node.
            return files is None or files.is_guided, is_shifted
        if (file := spec.inputs.get("unet_name", spec.inputs.get("ckpt_name"))) is not None:
            return is_guided_file(str(file)), is_shifted
        link = spec.inputs.get("model", spec.inputs.get("flux"))
    return None, is_shifted


def _sets_guidance(new: Rewriting, node_id: str) -> bool:
    """Whether a node of ComfyUI's before a FluxSample node sets the guidance, which goes before its own."""
    link = new.workflow.nodes[node_id].inputs.get("conditioning")
    while isinstance(link, Link):
        spec = new.workflow.nodes[link.node_id]
        if spec.class_type in ("FluxGuidance", "CLIPTextEncodeFlux"):
            return True
        link = spec.inputs.get("conditioning")
    return False
