"""The `config.json` of every part of a checkpoint, in diffusers' and transformers' vocabulary."""

from typing import Any

from training.layout.spec import (
    CLIP_TOKENS,
    IMAGE_CHANNELS,
    LATENT_CHANNELS,
    PACKED_CHANNELS,
    T5_BUCKETS,
    TinySpec,
)
from training.layout.tokenizer_files import clip_vocabulary, t5_pieces

DIFFUSERS_VERSION = "0.30.0"  # The version in the published FLUX.1 repositories.


def configs(spec: TinySpec) -> dict[str, dict[str, Any]]:
    """One configuration for each part that holds weights."""
    return {
        "transformer": _transformer(spec),
        "vae": _vae(spec),
        "text_encoder": _clip(spec),
        "text_encoder_2": _t5(spec),
        "image_encoder": _siglip(spec),
        "image_embedder": _diffusers(
            "ReduxImageEncoder", redux_dim=spec.siglip_width, txt_in_features=spec.t5_width
        ),
    }


def scheduler(spec: TinySpec) -> dict[str, Any]:
    """FLUX's flow-matching Euler schedule; `use_dynamic_shifting` distinguishes dev from schnell."""
    return _diffusers(
        "FlowMatchEulerDiscreteScheduler",
        base_image_seq_len=256,
        base_shift=0.5,
        max_image_seq_len=4096,
        max_shift=1.15,
        num_train_timesteps=1000,
        shift=3.0 if spec.dynamic_shift else 1.0,
        use_dynamic_shifting=spec.dynamic_shift,
    )


def model_index() -> dict[str, Any]:
    """Which class reads which folder."""
    return _diffusers(
        "FluxPipeline",
        scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"],
        text_encoder=["transformers", "CLIPTextModel"],
        text_encoder_2=["transformers", "T5EncoderModel"],
        tokenizer=["transformers", "CLIPTokenizer"],
        tokenizer_2=["transformers", "T5TokenizerFast"],
        transformer=["diffusers", "FluxTransformer2DModel"],
        vae=["diffusers", "AutoencoderKL"],
    )


def _diffusers(class_name: str, **values: Any) -> dict[str, Any]:
    return {"_class_name": class_name, "_diffusers_version": DIFFUSERS_VERSION, **values}


def _transformer(spec: TinySpec) -> dict[str, Any]:
    return _diffusers(
        "FluxTransformer2DModel",
        attention_head_dim=spec.head_size,
        axes_dims_rope=list(spec.rope_axes),
        guidance_embeds=spec.guidance,
        in_channels=PACKED_CHANNELS,
        joint_attention_dim=spec.t5_width,
        num_attention_heads=spec.heads,
        num_layers=spec.joint_blocks,
        num_single_layers=spec.single_blocks,
        patch_size=1,
        pooled_projection_dim=spec.clip_width,
    )


def _vae(spec: TinySpec) -> dict[str, Any]:
    levels = len(spec.vae_channels)
    return _diffusers(
        "AutoencoderKL",
        act_fn="silu",
        block_out_channels=list(spec.vae_channels),
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        force_upcast=True,
        in_channels=IMAGE_CHANNELS,
        out_channels=IMAGE_CHANNELS,
        latent_channels=LATENT_CHANNELS,
        layers_per_block=spec.vae_layers,
        mid_block_add_attention=True,
        norm_num_groups=spec.vae_groups,
        sample_size=1024,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_post_quant_conv=False,
        use_quant_conv=False,
    )


def _clip(spec: TinySpec) -> dict[str, Any]:
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "hidden_act": "quick_gelu",
        "hidden_size": spec.clip_width,
        "intermediate_size": spec.clip_hidden,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": CLIP_TOKENS,
        "num_attention_heads": spec.clip_heads,
        "num_hidden_layers": spec.clip_layers,
        "projection_dim": spec.clip_width,
        "vocab_size": len(clip_vocabulary()),
        # The published FLUX.1 files have these ids, which make transformers pool at the highest id.
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }


def _t5(spec: TinySpec) -> dict[str, Any]:
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "d_ff": spec.t5_hidden,
        "d_kv": 64,
        "d_model": spec.t5_width,
        "decoder_start_token_id": 0,
        "dense_act_fn": "gelu_new",
        "dropout_rate": 0.1,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "is_gated_act": True,
        "layer_norm_epsilon": 1e-06,
        "num_decoder_layers": spec.t5_layers,
        "num_heads": spec.t5_heads,
        "num_layers": spec.t5_layers,
        "pad_token_id": 0,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": T5_BUCKETS,
        "tie_word_embeddings": False,
        "vocab_size": len(t5_pieces()),
    }


def _siglip(spec: TinySpec) -> dict[str, Any]:
    return {
        "architectures": ["SiglipVisionModel"],
        "model_type": "siglip_vision_model",
        "attention_dropout": 0.0,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": spec.siglip_width,
        "image_size": spec.siglip_image,
        "intermediate_size": spec.siglip_hidden,
        "layer_norm_eps": 1e-06,
        "num_attention_heads": spec.siglip_heads,
        "num_channels": IMAGE_CHANNELS,
        "num_hidden_layers": spec.siglip_layers,
        "patch_size": spec.siglip_patch,
    }
