"""The trained autoencoder with its latents rescaled to FLUX's range, and packing of its latents."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from training import sizes
from training.domain import training_subjects
from training.pictures import PictureMaker, Pictures
from training.running import averaged_weights

SCALE, SHIFT = 0.3611, 0.1159  # FLUX.1's values: the transformer's input is (latent - SHIFT) * SCALE.


def scaled_autoencoder() -> Any:
    """The autoencoder of the run `vae`, with a linear map of each latent channel folded into convolutions.

    With this map, the transformer's input has mean 0 and standard deviation 1 in each channel over the
    domain. The fold is exact except at the border, because of the zero padding of the decoder's first
    convolution; the run `decoder` is trained with the map in place.
    """
    model = sizes.autoencoder().eval().requires_grad_(False)
    model.load_state_dict(averaged_weights("vae"))
    mean, deviation = _statistics(model)
    gain = 1 / (deviation * SCALE)
    offset = SHIFT - mean * gain
    encoder, decoder = model.encoder.conv_out, model.decoder.conv_in
    channels = len(mean)
    encoder.weight[:channels] *= gain[:, None, None, None]
    encoder.bias[:channels] = encoder.bias[:channels] * gain + offset
    encoder.bias[channels:] += 2 * gain.log()
    decoder.bias -= (decoder.weight.sum(dim=(2, 3)) * (offset / gain)).sum(dim=1)
    decoder.weight /= gain[None, :, None, None]
    return model


def _statistics(model: Any) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each latent channel over the domain."""
    maker = PictureMaker(seed=0)
    pictures = maker.subjects(training_subjects()[::5])
    latents = torch.cat([encode(model, part) for part in np.array_split(pictures, 8)])
    return latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))


@torch.no_grad()
def encode(model: Any, pictures: Pictures) -> Tensor:
    """Pictures (n, 96, 96, 3) in [0, 1] -> posterior mean, (n, 16, 12, 12), at the VAE's own scale."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2) * 2 - 1
    return torch.as_tensor(
        model.encode(pixels.contiguous(memory_format=torch.channels_last)).latent_dist.mean
    )


def to_model(latents: Tensor) -> Tensor:
    """Latents (n, 16, 12, 12) -> the transformer's packed input (n, 36, 64); channels, rows, columns."""
    count, channels, height, width = latents.shape
    squares = ((latents - SHIFT) * SCALE).reshape(count, channels, height // 2, 2, width // 2, 2)
    return squares.permute(0, 2, 4, 1, 3, 5).reshape(count, height * width // 4, channels * 4)


def from_model(packed: Tensor, height: int = 12, width: int = 12) -> Tensor:
    """The inverse of `to_model`."""
    count = len(packed)
    squares = packed.reshape(count, height // 2, width // 2, -1, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return squares.reshape(count, -1, height, width) / SCALE + SHIFT
