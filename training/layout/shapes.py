"""Names and shapes of every tensor, as diffusers and transformers write them.

Sources: the parameter names of diffusers' FluxTransformer2DModel, AutoencoderKL and
ReduxImageEncoder, and of transformers' T5EncoderModel, CLIPTextModel and SiglipVisionModel (the
last two with the prefixes `text_model.` and `vision_model.` of the published FLUX.1 repositories).
Linear weights are (out, in); convolutions (out, in, height, width).
"""

from collections.abc import Callable, Iterator

from training.layout.spec import (
    CLIP_TOKENS,
    IMAGE_CHANNELS,
    LATENT_CHANNELS,
    PACKED_CHANNELS,
    T5_BUCKETS,
    TIME_CHANNELS,
    TinySpec,
)
from training.layout.tokenizer_files import clip_vocabulary, t5_pieces

Shape = tuple[int, ...]
Named = Iterator[tuple[str, Shape]]


def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Named:
    """A fully connected layer."""
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def conv(name: str, inputs: int, outputs: int, kernel: int) -> Named:
    """A two-dimensional convolution with a square kernel."""
    yield f"{name}.weight", (outputs, inputs, kernel, kernel)
    yield f"{name}.bias", (outputs,)


def norm(name: str, width: int, bias: bool = True) -> Named:
    """A normalisation with a learned gain and, for layer and group norms, an offset."""
    yield f"{name}.weight", (width,)
    if bias:
        yield f"{name}.bias", (width,)


def transformer(spec: TinySpec) -> Named:
    """FLUX's transformer: embedders, joint blocks, single blocks, output head."""
    width = spec.width
    yield from linear("x_embedder", PACKED_CHANNELS, width)
    yield from linear("context_embedder", spec.t5_width, width)
    embedders = {"timestep_embedder": TIME_CHANNELS, "text_embedder": spec.clip_width}
    if spec.guidance:
        embedders["guidance_embedder"] = TIME_CHANNELS
    for name, inputs in embedders.items():
        yield from linear(f"time_text_embed.{name}.linear_1", inputs, width)
        yield from linear(f"time_text_embed.{name}.linear_2", width, width)
    for index in range(spec.joint_blocks):
        yield from _joint_block(f"transformer_blocks.{index}", spec)
    for index in range(spec.single_blocks):
        yield from _single_block(f"single_transformer_blocks.{index}", spec)
    yield from linear("norm_out.linear", width, 2 * width)
    yield from linear("proj_out", width, PACKED_CHANNELS)


def _joint_block(name: str, spec: TinySpec) -> Named:
    width = spec.width
    for part in ("norm1", "norm1_context"):
        yield from linear(f"{name}.{part}.linear", width, 6 * width)
    projections = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    for part in projections:
        yield from linear(f"{name}.attn.{part}", width, width)
    for part in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        yield from norm(f"{name}.attn.{part}", spec.head_size, bias=False)
    for part in ("ff", "ff_context"):
        yield from linear(f"{name}.{part}.net.0.proj", width, 4 * width)
        yield from linear(f"{name}.{part}.net.2", 4 * width, width)


def _single_block(name: str, spec: TinySpec) -> Named:
    width = spec.width
    yield from linear(f"{name}.norm.linear", width, 3 * width)
    for part in ("to_q", "to_k", "to_v"):
        yield from linear(f"{name}.attn.{part}", width, width)
    for part in ("norm_q", "norm_k"):
        yield from norm(f"{name}.attn.{part}", spec.head_size, bias=False)
    yield from linear(f"{name}.proj_mlp", width, 4 * width)
    yield from linear(f"{name}.proj_out", 5 * width, width)


def text_encoder_2(spec: TinySpec) -> Named:
    """T5 v1.1's encoder: gated feed-forward, position bias in the first block only."""
    yield "shared.weight", (len(t5_pieces()), spec.t5_width)
    inner = spec.t5_heads * 64
    for index in range(spec.t5_layers):
        attention = f"encoder.block.{index}.layer.0"
        for part in ("q", "k", "v"):
            yield from linear(f"{attention}.SelfAttention.{part}", spec.t5_width, inner, bias=False)
        yield from linear(f"{attention}.SelfAttention.o", inner, spec.t5_width, bias=False)
        if index == 0:
            yield f"{attention}.SelfAttention.relative_attention_bias.weight", (T5_BUCKETS, spec.t5_heads)
        yield from norm(f"{attention}.layer_norm", spec.t5_width, bias=False)
        feed_forward = f"encoder.block.{index}.layer.1"
        for part in ("wi_0", "wi_1"):
            name = f"{feed_forward}.DenseReluDense.{part}"
            yield from linear(name, spec.t5_width, spec.t5_hidden, bias=False)
        yield from linear(f"{feed_forward}.DenseReluDense.wo", spec.t5_hidden, spec.t5_width, bias=False)
        yield from norm(f"{feed_forward}.layer_norm", spec.t5_width, bias=False)
    yield from norm("encoder.final_layer_norm", spec.t5_width, bias=False)


def text_encoder(spec: TinySpec) -> Named:
    """CLIP's text model."""
    width = spec.clip_width
    yield "text_model.embeddings.token_embedding.weight", (len(clip_vocabulary()), width)
    yield "text_model.embeddings.position_embedding.weight", (CLIP_TOKENS, width)
    for index in range(spec.clip_layers):
        yield from _pre_norm_layer(f"text_model.encoder.layers.{index}", width, spec.clip_hidden)
    yield from norm("text_model.final_layer_norm", width)


def image_encoder(spec: TinySpec) -> Named:
    """SigLIP's vision model with its pooling head, which Redux does not use."""
    width = spec.siglip_width
    yield from conv("vision_model.embeddings.patch_embedding", IMAGE_CHANNELS, width, spec.siglip_patch)
    yield "vision_model.embeddings.position_embedding.weight", (spec.siglip_tokens, width)
    for index in range(spec.siglip_layers):
        yield from _pre_norm_layer(f"vision_model.encoder.layers.{index}", width, spec.siglip_hidden)
    yield from norm("vision_model.post_layernorm", width)
    head = "vision_model.head"
    yield f"{head}.probe", (1, 1, width)
    yield f"{head}.attention.in_proj_weight", (3 * width, width)
    yield f"{head}.attention.in_proj_bias", (3 * width,)
    yield from linear(f"{head}.attention.out_proj", width, width)
    yield from norm(f"{head}.layernorm", width)
    yield from linear(f"{head}.mlp.fc1", width, spec.siglip_hidden)
    yield from linear(f"{head}.mlp.fc2", spec.siglip_hidden, width)


def _pre_norm_layer(name: str, width: int, hidden: int) -> Named:
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        yield from linear(f"{name}.self_attn.{part}", width, width)
    yield from norm(f"{name}.layer_norm1", width)
    yield from linear(f"{name}.mlp.fc1", width, hidden)
    yield from linear(f"{name}.mlp.fc2", hidden, width)
    yield from norm(f"{name}.layer_norm2", width)


def image_embedder(spec: TinySpec) -> Named:
    """Redux: SigLIP's features to T5's space."""
    yield from linear("redux_up", spec.siglip_width, 3 * spec.t5_width)
    yield from linear("redux_down", 3 * spec.t5_width, spec.t5_width)


def vae(spec: TinySpec) -> Named:
    """FLUX's autoencoder, which reduces each side by 8, with one attention in the middle of each half."""
    yield from _vae_encoder("encoder", spec)
    yield from _vae_decoder("decoder", spec)


def _vae_encoder(name: str, spec: TinySpec) -> Named:
    channels = spec.vae_channels
    yield from conv(f"{name}.conv_in", IMAGE_CHANNELS, channels[0], 3)
    for level, outputs in enumerate(channels):
        inputs = channels[max(level - 1, 0)]
        block = f"{name}.down_blocks.{level}"
        for index in range(spec.vae_layers):
            yield from _resnet(f"{block}.resnets.{index}", inputs if index == 0 else outputs, outputs)
        if level < len(channels) - 1:
            yield from conv(f"{block}.downsamplers.0.conv", outputs, outputs, 3)
    yield from _vae_middle(f"{name}.mid_block", channels[-1])
    yield from norm(f"{name}.conv_norm_out", channels[-1])
    yield from conv(f"{name}.conv_out", channels[-1], 2 * LATENT_CHANNELS, 3)  # Mean and log variance.


def _vae_decoder(name: str, spec: TinySpec) -> Named:
    channels = spec.vae_channels[::-1]
    yield from conv(f"{name}.conv_in", LATENT_CHANNELS, channels[0], 3)
    yield from _vae_middle(f"{name}.mid_block", channels[0])
    for level, outputs in enumerate(channels):
        inputs = channels[max(level - 1, 0)]
        block = f"{name}.up_blocks.{level}"
        for index in range(spec.vae_layers + 1):
            yield from _resnet(f"{block}.resnets.{index}", inputs if index == 0 else outputs, outputs)
        if level < len(channels) - 1:
            yield from conv(f"{block}.upsamplers.0.conv", outputs, outputs, 3)
    yield from norm(f"{name}.conv_norm_out", channels[-1])
    yield from conv(f"{name}.conv_out", channels[-1], IMAGE_CHANNELS, 3)


def _vae_middle(name: str, channels: int) -> Named:
    for index in range(2):
        yield from _resnet(f"{name}.resnets.{index}", channels, channels)
    yield from norm(f"{name}.attentions.0.group_norm", channels)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        yield from linear(f"{name}.attentions.0.{part}", channels, channels)


def _resnet(name: str, inputs: int, outputs: int) -> Named:
    yield from norm(f"{name}.norm1", inputs)
    yield from conv(f"{name}.conv1", inputs, outputs, 3)
    yield from norm(f"{name}.norm2", outputs)
    yield from conv(f"{name}.conv2", outputs, outputs, 3)
    if inputs != outputs:
        yield from conv(f"{name}.conv_shortcut", inputs, outputs, 1)


SHAPES: dict[str, Callable[[TinySpec], Named]] = {
    "transformer": transformer,
    "vae": vae,
    "text_encoder": text_encoder,
    "text_encoder_2": text_encoder_2,
    "image_encoder": image_encoder,
    "image_embedder": image_embedder,
}
