"""Train the autoencoder: `python -m training.vae [--steps N]`."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training import sizes
from training.pictures import PictureMaker
from training.running import Run, asked_steps

CROP, BATCH = 48, 16
KL_WEIGHT = 1e-3
# Standard deviation of noise added to latents, which makes the decoder robust to a sampler's errors.
LATENT_NOISE = 0.1


def crops(maker: PictureMaker) -> Tensor:
    """Random squares of random pictures, (BATCH, 3, CROP, CROP) in [-1, 1]; corners at multiples of 8."""
    pictures = maker.mixture(BATCH)
    size = pictures.shape[1] - CROP
    corners = maker.random.integers(size // 8 + 1, size=(BATCH, 2)) * 8
    cut = [p[y : y + CROP, x : x + CROP] for p, (y, x) in zip(pictures, corners, strict=True)]
    tensor = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2)
    return (tensor * 2 - 1).contiguous(memory_format=torch.channels_last)


def reconstruction_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Absolute and squared error of the pixels, plus absolute error of neighbour differences (edges)."""
    edges = sum(F.l1_loss(found.diff(dim=axis), wanted.diff(dim=axis)) for axis in (2, 3))
    return F.l1_loss(found, wanted) + 0.5 * edges + F.mse_loss(found, wanted)


def main() -> None:
    steps = asked_steps(__doc__, default=2000)
    torch.manual_seed(1)
    model = sizes.autoencoder().to(memory_format=torch.channels_last)
    run = Run("vae", model, steps, rate=1.5e-3, decay_from=0.3, average=0.998)
    maker = PictureMaker(seed=100 + run.step)
    for step in run.loop():
        wanted = crops(maker)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = model.encode(wanted).latent_dist
            latents = posterior.sample()
            spread = latents.std().detach()
            noisy = latents + torch.randn_like(latents) * spread * LATENT_NOISE * torch.rand(BATCH, 1, 1, 1)
            found = model.decode(noisy).sample
        error = reconstruction_loss(found.float(), wanted)
        mean, variance = posterior.mean.float(), posterior.logvar.float()
        divergence = 0.5 * (mean.square() + variance.exp() - 1 - variance).mean()
        run.update(error + KL_WEIGHT * min(1.0, step / 1000) * divergence)
        if step % 50 == 0:
            psnr = -10 * math.log10(F.mse_loss(found.float(), wanted).item() / 4)
            run.log(loss=error.item(), kl=divergence.item(), psnr=psnr, spread=spread.item())


if __name__ == "__main__":
    main()
