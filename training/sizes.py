"""The tiny model's networks as diffusers' and transformers' own modules, in the shipped sizes."""

from typing import Any

from training.layout.spec import TinySpec

SPEC = TinySpec(
    heads=3,
    joint_blocks=1,
    single_blocks=3,
    t5_layers=1,
    t5_tokens=24,
    siglip_hidden=256,
    vae_channels=(32, 96, 64, 64),
)


def autoencoder() -> Any:
    """diffusers' AutoencoderKL; second convolutions start at zero, so each block starts as the identity."""
    from diffusers import AutoencoderKL
    from torch import nn

    model = AutoencoderKL(**_settings("vae"))
    for name, module in model.named_modules():
        if name.endswith("conv2"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def vision_encoder() -> Any:
    """transformers' SiglipVisionModel."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return SiglipVisionModel(SiglipVisionConfig(**_settings("image_encoder")))


def text_encoders() -> tuple[Any, Any]:
    """transformers' T5EncoderModel and CLIPTextModel."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    return (
        T5EncoderModel(T5Config(**_settings("text_encoder_2"))),
        CLIPTextModel(CLIPTextConfig(**_settings("text_encoder"))),
    )


def redux() -> Any:
    """diffusers' ReduxImageEncoder."""
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    return ReduxImageEncoder(**_settings("image_embedder"))


def transformer() -> Any:
    """diffusers' FluxTransformer2DModel; starts with shift and scale 0, gate 1, and an output of zero."""
    import torch
    from diffusers import FluxTransformer2DModel

    model = FluxTransformer2DModel(**_settings("transformer"))
    for block in [*model.transformer_blocks, *model.single_transformer_blocks]:
        for name in ("norm1", "norm1_context", "norm"):
            if hasattr(block, name):
                linear = getattr(block, name).linear
                torch.nn.init.zeros_(linear.weight)
                with torch.no_grad():
                    chunks = linear.bias.view(-1, SPEC.width)
                    chunks.zero_()
                    chunks[2::3] = 1  # (shift, scale, gate), once or twice.
    for linear in (model.norm_out.linear, model.proj_out):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    return model


def _settings(part: str) -> dict[str, Any]:
    from training.layout.configs import configs

    return {key: value for key, value in configs(SPEC)[part].items() if not key.startswith("_")}
