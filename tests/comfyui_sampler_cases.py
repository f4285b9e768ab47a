"""ComfyUI's own runs of samplers on the built-in model, taken apart: for tests of samplers without guiders.

A case is an API prompt, ``NAME.json``, and what ComfyUI 0.33 made of it, ``NAME.npz``. The environment
variable COMFYUI_GOLDENS names a folder of them; the tests' own has a part.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from run_graph.graph import Registry
from run_graph.nodes import NODES
from run_graph.runtime.models.handles import TextEncoders
from run_graph.runtime.models.resolution import resolve_flux
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.models.text import encode_prompt
from run_graph.runtime.networks.transformer import FluxTransformer, Prepared
from run_graph.runtime.sampling.brownian import path_over
from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.latents import pack, unpack
from run_graph.runtime.sampling.samplers import SAMPLERS, Sampler
from run_graph.runtime.sampling.schedules import NoiseScale, comfyui_scale
from run_graph.runtime.sampling.torch_noise import NumberedDraws, batch_noise

FOLDER = Path(os.environ.get("COMFYUI_GOLDENS") or Path(__file__).parent / "conformance" / "goldens")
SIDE = 96
# The autoencoder's scale, in which ComfyUI passes latents.
SCALE, SHIFT = 0.3611, 0.1159


def names() -> list[str]:
    """The cases of one sampling by a KSampler, or by a sampler node with options."""
    found = sorted(path.stem for path in FOLDER.glob("[sS]ampler*.npz"))
    return [name for name in found if name != "sampler_custom"]


@dataclass(frozen=True)
class Case:
    name: str

    @cached_property
    def prompt(self) -> dict[str, Any]:
        return json.loads((FOLDER / f"{self.name}.json").read_text(encoding="utf-8"))

    @cached_property
    def expected(self) -> dict[str, Any]:
        with np.load(FOLDER / f"{self.name}.npz") as arrays:
            return dict(arrays)

    def node(self, class_type: str) -> dict[str, Any] | None:
        """The inputs of the node of a class."""
        found = [node["inputs"] for node in self.prompt.values() if node["class_type"] == class_type]
        return found[0] if found else None

    @property
    def sampler(self) -> tuple[str, dict[str, Any]]:
        """The sampler's name and options."""
        if settings := self.node("KSampler"):
            return settings["sampler_name"], {}
        node = self.prompt["sampler"]
        made = Registry(NODES)[node["class_type"]](**node["inputs"]).run(None)
        return made.sampler.name, dict(made.sampler.options)

    @property
    def seed(self) -> int:
        return (self.node("KSampler") or {"seed": 42})["seed"]

    @property
    def cfg(self) -> float:
        return (self.node("KSampler") or {"cfg": 1.0})["cfg"]

    def text(self, side: str) -> str | None:
        """The prompt of the positive or negative side; None for a guider without negative."""
        settings = self.node("KSampler") or {"positive": ["pos", 0], "negative": None}
        link = settings[side]
        return link and self.prompt[link[0]]["inputs"]["text"]

    @property
    def is_schnell(self) -> bool:
        return "schnell" in self.prompt["unet"]["inputs"]["unet_name"]

    def allowed(self, key: str) -> float:
        return 1e-4 * float(np.abs(self.expected[key]).max())

    def in_places(self, key: str, ours: Any) -> Any:
        """Of an array of ours, what was kept of ComfyUI's."""
        stride = self.expected.get(f"{key}.stride")
        return ours if stride is None else ours.ravel()[:: int(stride)]


@dataclass
class GuidedFlow(Flow):
    """The built-in model with a negative, channels first: (B, 16, 12, 12).

    Attributes
    ----------
    levels : list of float
        Of all evaluations.
    first : array or None
        D of the first evaluation since it was last None.
    """

    transformer: FluxTransformer
    positive: Prepared
    negative: Prepared | None
    cfg: float
    sampler: Sampler
    asked: Sequence[float]
    scale: NoiseScale
    seed: int
    levels: list[float] = field(default_factory=list)
    first: mx.array | None = None

    def __post_init__(self) -> None:
        self.sigmas = self.sampler.prepared(self.asked, self.scale)
        shape = (1, 16, SIDE // 8, SIDE // 8)
        self._draws = NumberedDraws((self.seed + 1) % 2**64, shape)
        self._path = path_over(self.seed, shape, self.asked)

    def denoised(self, latents: mx.array, sigma: float) -> mx.array:
        self.levels.append(sigma)
        found = self._denoised(latents, sigma, self.positive)
        self._negative = mx.zeros_like(found)
        if self.negative is not None and (self.cfg != 1 or self.sampler.uses_negative):
            self._negative = self._denoised(latents, sigma, self.negative)
            found = self._negative + self.cfg * (found - self._negative)
        if self.first is None:
            self.first = found
        return found

    def _denoised(self, latents: mx.array, sigma: float, prepared: Prepared) -> mx.array:
        velocity = self.transformer.velocity(pack(latents.transpose(0, 2, 3, 1)), sigma, prepared)
        return latents - sigma * unpack(velocity, SIDE, SIDE).transpose(0, 3, 1, 2)

    @property
    def uncond_denoised(self) -> mx.array:
        return self._negative

    def noise(self, draw: int) -> mx.array:
        return mx.array(self._draws(draw))

    def brownian(self, sigma: float, following: float) -> mx.array:
        return mx.array(self._path.noise(sigma, following))


@dataclass(frozen=True)
class Sampled:
    """What a case came to: latents and the last step's first D in ComfyUI's scale, levels of evaluations."""

    latent: Any
    denoised: Any
    levels: list[float]


@cache
def model(is_schnell: bool) -> tuple[ModelStore, FluxTransformer]:
    store, checkpoint = ModelStore(), resolve_flux("tiny")
    loaded = store.get(checkpoint, "transformer", None)
    config = {**loaded.config, "guidance_embeds": False} if is_schnell else loaded.config
    return store, FluxTransformer(loaded.module, config)


@cache
def prepared(text: str, is_schnell: bool) -> Prepared:
    store, transformer = model(is_schnell)
    tokens, pooled = encode_prompt(store, TextEncoders(resolve_flux("tiny")), text)
    return transformer.prepare(tokens, pooled, 3.5, height=SIDE, width=SIDE)


def sampled(case: Case) -> Sampled:
    """Run a case from ComfyUI's initial noise over the noise levels that it visited."""
    name, options = case.sampler
    negative = case.text("negative")
    flow = GuidedFlow(
        transformer=model(case.is_schnell)[1],
        positive=prepared(case.text("positive") or "", case.is_schnell),
        negative=None if negative is None else prepared(negative, case.is_schnell),
        cfg=case.cfg,
        sampler=SAMPLERS[name],
        asked=[float(sigma) for sigma in case.expected["_sigmas"]],
        scale=comfyui_scale(None, shift=not case.is_schnell),
        seed=case.seed,
    )
    state = State(0, flow.asked[0] * mx.array(batch_noise(case.seed, (1, 16, SIDE // 8, SIDE // 8))))
    denoised = state.latents
    steps = SAMPLERS[name].run(flow, state, options)
    for state in steps:
        mx.eval(state.latents, *state.history)
        denoised, flow.first = flow.first, None
    latents = np.array(state.latents) / (1 - flow.sigmas[-1])
    return Sampled(latents / SCALE + SHIFT, np.array(denoised) / SCALE + SHIFT, flow.levels)
