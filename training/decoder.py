"""Fine-tune the decoder on whole pictures: `python -m training.decoder [--steps N]`.

The encoder and the scale of the latents do not change, so this may run before or after the flow is trained.
Noise on the latents makes the decoder robust to a sampler's errors.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from training.latents import SCALE, encode, scaled_autoencoder
from training.pictures import PictureMaker
from training.running import Run, asked_steps
from training.vae import reconstruction_loss

BATCH = 5
LATENT_NOISE = 0.25  # Maximum, in units of the latents' standard deviation.


def noisy(latents: Tensor) -> Tensor:
    """Add noise to the latents, with a random strength for each picture."""
    strength = torch.rand(len(latents), 1, 1, 1) * LATENT_NOISE / SCALE
    return latents + torch.randn_like(latents) * strength


def main() -> None:
    steps = asked_steps(__doc__, default=700)
    torch.manual_seed(5)
    model = scaled_autoencoder().to(memory_format=torch.channels_last)
    model.decoder.requires_grad_(True)
    run = Run("decoder", model, steps, rate=5e-4, decay_from=0.2, average=0.99)
    maker = PictureMaker(seed=500 + run.step)
    for step in run.loop(save_every=100):
        pictures = maker.mixture(BATCH)
        latents = noisy(encode(model, pictures))
        wanted = torch.from_numpy(pictures).permute(0, 3, 1, 2) * 2 - 1
        with torch.autocast("cpu", torch.bfloat16):
            found = model.decode(latents).sample
        error = reconstruction_loss(found.float(), wanted)
        run.update(error)
        if step % 20 == 0:
            run.log(loss=error.item(), mse=F.mse_loss(found.float(), wanted).item() / 4)


if __name__ == "__main__":
    main()
