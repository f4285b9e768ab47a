"""Shared by the parity tests: random reference models, loading through mflux, and the comparison.

The references are diffusers' and transformers' own modules in float32, saved in the folder layout that
they publish checkpoints in, and read back through mflux's weight mapping: layout, mapping and forward
pass are compared in one go.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

SUBFOLDER = {
    "t5_encoder": "text_encoder_2",
    "clip_encoder": "text_encoder",
    "siglip": "image_encoder",
    "redux_encoder": "image_embedder",
}
# The prefix that published checkpoints have and that transformers 5 no longer writes.
PREFIX = {"clip_encoder": "text_model.", "siglip": "vision_model."}

# Matrices that are looked up in rather than multiplied by.
TABLES = (
    "token_embedding.weight",
    "position_embedding.weight",
    "shared.weight",
    "relative_attention_bias.weight",
)

Loaded = tuple[nn.Module, dict[str, Any]]
_TABLE = pytest.StashKey[list[tuple[str, float, float]]]()


@pytest.fixture
def randomise() -> Callable[[Any, int], Any]:
    """Give every parameter of a torch module a size that shows in the output; return it in eval mode."""
    import torch

    def fill(model: Any, seed: int = 0) -> Any:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                if parameter.ndim > 1:
                    fan_in = 1 if name.endswith(TABLES) else parameter[0].numel()
                    parameter.copy_(noise / fan_in**0.5)
                elif name.endswith("weight"):
                    parameter.copy_(1 + 0.3 * noise)
                else:
                    parameter.copy_(0.3 * noise)
        return model.eval()

    return fill


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str, Any], Loaded]:
    """Save a reference model and read it back: (component's name in mflux, model) -> (module, config)."""

    def read(component: str, model: Any) -> Loaded:
        folder = tmp_path / SUBFOLDER.get(component, component)
        _save(model, folder, PREFIX.get(component, ""))
        config = json.loads((folder / "config.json").read_text())
        weights = _mapped_weights(component, tmp_path)
        module = _module(component, model)
        module.update(weights, strict=False)
        return module, config

    return read


def _save(model: Any, folder: Path, prefix: str) -> None:
    from safetensors.torch import save_file

    model.save_pretrained(folder)
    if prefix:
        state = {prefix + name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(state, folder / "model.safetensors")


def _mapped_weights(component: str, root: Path) -> dict[str, Any]:
    from mflux.models.common.weights.loading.weight_loader import WeightLoader
    from mflux.models.flux.weights.flux_weight_definition import FluxReduxSaveDefinition

    known = {definition.name: definition for definition in FluxReduxSaveDefinition.get_components()}
    definition = replace(known[component], precision=mx.float32)
    weights = WeightLoader.load_single_local(definition, root).components[component]
    return weights[definition.weight_subkey] if definition.weight_subkey else weights


def _module(component: str, model: Any) -> nn.Module:
    """mflux's module with as many blocks as the reference model."""
    from mflux.models.common.config.model_config import ModelConfig
    from mflux.models.flux.model.flux_text_encoder.clip_encoder.clip_encoder import CLIPEncoder
    from mflux.models.flux.model.flux_text_encoder.t5_encoder.t5_encoder import T5Encoder
    from mflux.models.flux.model.flux_transformer.transformer import Transformer
    from mflux.models.flux.model.flux_vae.vae import VAE
    from mflux.models.flux.model.redux_encoder.redux_encoder import ReduxEncoder
    from mflux.models.flux.model.siglip_vision_transformer.siglip_vision_transformer import (
        SiglipVisionTransformer,
    )

    config = model.config
    if component == "transformer":
        variant = ModelConfig.dev() if config.guidance_embeds else ModelConfig.schnell()
        return Transformer(variant, config.num_layers, config.num_single_layers)
    if component == "t5_encoder":
        t5 = T5Encoder()
        t5.t5_blocks = t5.t5_blocks[: config.num_layers]
        return t5
    if component == "clip_encoder":
        clip = CLIPEncoder()
        clip.text_model.encoder.layers = clip.text_model.encoder.layers[: config.num_hidden_layers]
        return clip
    if component == "siglip":
        siglip = SiglipVisionTransformer()
        siglip.encoder.layers = siglip.encoder.layers[: config.num_hidden_layers]
        return siglip
    return {"vae": VAE, "redux_encoder": ReduxEncoder}[component]()


@pytest.fixture
def agree(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Assert that two arrays differ by at most `tolerance` of the reference's largest magnitude."""

    def check(ours: mx.array, reference: Any, tolerance: float = 2e-5, label: str | None = None) -> None:
        mine, theirs = np.array(ours), np.asarray(reference)
        assert mine.shape == theirs.shape
        largest = float(np.abs(theirs).max())
        assert largest > 1e-3, "a reference of nothing but zeros would prove nothing"
        error = float(np.abs(mine - theirs).max())
        name = label or request.node.name
        request.config.stash.setdefault(_TABLE, []).append((name, error, largest))
        assert error <= tolerance * largest, f"{name}: off by {error:.3g} where the largest is {largest:.3g}"

    return check


@pytest.fixture(autouse=True)
def float32_mflux(monkeypatch: pytest.MonkeyPatch) -> None:
    """mflux's own modules compute in one global precision, bfloat16; the comparisons are in float32."""
    from mflux.models.common.config.model_config import ModelConfig

    monkeypatch.setattr(ModelConfig, "precision", mx.float32)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """With -v, the parity table: largest error / largest magnitude of the reference = their ratio."""
    rows = config.stash.get(_TABLE, [])
    if rows and config.getoption("verbose") >= 0:
        terminalreporter.section("parity")
        for name, error, largest in rows:
            terminalreporter.write_line(f"{name:<72} {error:.2e} / {largest:8.3f} = {error / largest:.1e}")
