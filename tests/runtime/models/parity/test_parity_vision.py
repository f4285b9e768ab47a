"""SigLIP, Redux and the autoencoder against transformers and diffusers."""

import mlx.core as mx
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity oracle: SigLIP, Redux and the VAE run on torch")

from diffusers import AutoencoderKL  # noqa: E402
from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder  # noqa: E402
from transformers import SiglipVisionConfig, SiglipVisionModel  # noqa: E402

from run_graph.runtime.networks import redux, siglip, vae  # noqa: E402
from run_graph.runtime.networks.convolution import GroupNorm, group_norm  # noqa: E402

SCALE, SHIFT = 0.3611, 0.1159


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def channels_first(x: np.ndarray) -> "torch.Tensor":
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def channels_last(x: "torch.Tensor") -> np.ndarray:
    return np.moveaxis(x.numpy(), 1, -1)


@pytest.fixture
def siglip_pair(randomise, load):
    def build(size: int, patch: int):
        config = SiglipVisionConfig(
            hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=3,
            image_size=size, patch_size=patch,
        )  # fmt: skip
        reference = randomise(SiglipVisionModel(config))
        return reference, *load("siglip", reference)

    return build


@pytest.mark.parametrize(("size", "patch", "grid"), [(384, 14, 27), (512, 16, 32), (56, 14, 4)])
def test_siglip_equals_transformers(size, patch, grid, siglip_pair, agree):
    reference, module, config = siglip_pair(size, patch)
    pixels = np.clip(random(2, size, size, 3), -1, 1)
    with torch.no_grad():
        expected = reference(channels_first(pixels)).last_hidden_state
    hidden = siglip.encode(module, config, mx.array(pixels))
    assert hidden.shape == (2, grid * grid, 48)
    agree(hidden, expected)


def test_siglip_refuses_a_picture_of_another_size(siglip_pair):
    _, module, config = siglip_pair(56, 14)
    with pytest.raises(ValueError, match=r"16 patches of 14 x 14 pixels, .* 112 x 56 pixels gives 32"):
        siglip.encode(module, config, mx.zeros((1, 56, 112, 3)))


@pytest.mark.parametrize("tokens", [25, 729])
def test_redux_equals_diffusers(tokens, randomise, load, agree):
    reference = randomise(ReduxImageEncoder(redux_dim=48, txt_in_features=96))
    module, _ = load("redux_encoder", reference)
    hidden = random(2, tokens, 48)
    with torch.no_grad():
        expected = reference(torch.from_numpy(hidden)).image_embeds
    agree(redux.project(module, mx.array(hidden)), expected)


@pytest.fixture(params=[(8, 2), (32, 2), (8, 1)], ids=["8-groups", "32-groups", "1-layer-blocks"])
def vae_pair(request, randomise, load):
    groups, layers = request.param
    reference = AutoencoderKL(
        block_out_channels=(32, 64, 128, 128), layers_per_block=layers, latent_channels=16,
        norm_num_groups=groups, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, scaling_factor=SCALE, shift_factor=SHIFT,
        use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip
    return randomise(reference), *load("vae", reference)


def test_decoder_equals_diffusers(vae_pair, agree):
    reference, module, config = vae_pair
    latents = random(2, 4, 6, 16)
    with torch.no_grad():
        decoded = reference.decode(channels_first(latents) / SCALE + SHIFT).sample
    expected = channels_last((decoded / 2 + 0.5).clamp(0, 1))
    assert ((expected > 0) & (expected < 1)).mean() > 0.2, "nearly all clipped: nothing left to compare"
    agree(vae.decode(module, config, mx.array(latents)), expected)


def test_encoder_equals_diffusers(vae_pair, agree):
    reference, module, config = vae_pair
    pixels = np.random.default_rng(1).random((2, 32, 48, 3), dtype=np.float32)
    with torch.no_grad():
        mean = reference.encode(channels_first(pixels) * 2 - 1).latent_dist.mean
    agree(vae.encode(module, config, mx.array(pixels)), channels_last((mean - SHIFT) * SCALE))


@pytest.mark.parametrize("groups", [2, 8, 32])
def test_group_norm_groups_channels_as_torch_does(groups, agree):
    x, weight, bias = random(2, 5, 3, 64), random(64, seed=1), random(64, seed=2)
    expected = torch.nn.functional.group_norm(
        channels_first(x), groups, torch.from_numpy(weight), torch.from_numpy(bias), 1e-6
    )
    ours = group_norm(mx.array(x), GroupNorm(mx.array(weight), mx.array(bias), groups))
    agree(ours, channels_last(expected))
