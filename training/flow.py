"""Train T5, CLIP, Redux and the transformer together, on frozen latents and SigLIP features.

`python -m training.flow [--steps N]`
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training import sizes
from training.grid import GRIDS, resize
from training.lessons import Lesson, Lessons
from training.pools import load_pools
from training.running import Run, asked_steps
from training.tokens import Tokenizers

REFERENCES_FROM = 0.15  # Fraction of the run after which references are shown.
IMAGE_GRID = 6  # Tokens per side of a 96 px picture.


class Painter(nn.Module):
    """The networks that turn captions and references into a velocity."""

    def __init__(self) -> None:
        super().__init__()
        self.t5, self.clip = sizes.text_encoders()
        self.redux = sizes.redux()
        self.transformer = sizes.transformer()
        axis = torch.arange(IMAGE_GRID)
        places = torch.cartesian_prod(axis, axis)
        self.register_buffer("image_ids", F.pad(places, (1, 0)).float(), persistent=False)

    def conditioning(self, t5_ids: Tensor, clip_ids: Tensor) -> tuple[Tensor, Tensor]:
        """T5's tokens (B, 24, width) and CLIP's pooled vector (B, width)."""
        return self.t5(t5_ids).last_hidden_state, self.clip(clip_ids).pooler_output

    def redux_tokens(self, features: Tensor, side: int, interpolation: str) -> Tensor:
        """SigLIP features (B, 729, width) -> Redux tokens (B, side * side, T5's width)."""
        return resize(self.redux(features).image_embeds, side, interpolation)

    def velocity(
        self, latents: Tensor, sigma: Tensor, tokens: Tensor, pooled: Tensor, guidance: Tensor
    ) -> Tensor:
        """The predicted velocity of noisy latents (B, 36, 64) at noise levels `sigma` (B,)."""
        return self.transformer(
            hidden_states=latents, timestep=sigma, guidance=guidance, pooled_projections=pooled,
            encoder_hidden_states=tokens, txt_ids=torch.zeros(tokens.shape[1], 3), img_ids=self.image_ids,
            return_dict=False,
        )[0]  # fmt: skip


def loss(painter: Painter, lesson: Lesson, tokenizers: Tokenizers) -> Tensor:
    """Mean squared error of the velocity (noise - picture) at random noise levels."""
    tokens, pooled = painter.conditioning(*tokenizers(lesson.captions))
    side = GRIDS.get(lesson.factor, 0)
    extra = [painter.redux_tokens(f, side, lesson.interpolation) for f in lesson.references]
    noise = torch.randn_like(lesson.latents)
    count = len(noise)
    # High noise levels are drawn more often: there the caption and the reference decide the picture.
    sigma = torch.sigmoid(torch.randn(count) * 1.3 + 1.0)
    mix = sigma[:, None, None]
    noisy = lesson.latents * (1 - mix) + noise * mix
    guidance = torch.rand(count) * 7 + 1  # Random, so that the model ignores it and accepts any value.
    found = painter.velocity(noisy, sigma, torch.cat([tokens, *extra], dim=1), pooled, guidance)
    return F.mse_loss(found.float(), noise - lesson.latents)


def main() -> None:
    steps = asked_steps(__doc__, default=9300)
    torch.manual_seed(4)
    painter = Painter()
    run = Run("flow", painter, steps, rate=1.5e-3, decay_from=0.45, average=0.999)
    torch.manual_seed(4 + run.step)
    lessons, tokenizers = Lessons(load_pools(), seed=400 + run.step), Tokenizers()
    recent: dict[str, float] = {}
    for step in run.loop(save_every=250):
        lesson = lessons.next(references=step >= REFERENCES_FROM * steps)
        with torch.autocast("cpu", torch.bfloat16):
            error = loss(painter, lesson, tokenizers)
        run.update(error)
        name = f"factor_{lesson.factor}"
        recent[name] = 0.95 * recent.get(name, error.item()) + 0.05 * error.item()
        if step % 50 == 0:
            run.log(**recent)


if __name__ == "__main__":
    main()
