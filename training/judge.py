"""The classifier that judges pictures: `python -m training.judge [--steps N]`.

It is trained on the original renders, slightly degraded (noise, blur, shifts, brightness). It sees only
pixels: no latents, and nothing from the model's own encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.domain import BACKGROUNDS, NOUNS, STYLES, Subject, subjects
from training.pictures import PictureMaker, Pictures
from training.running import Run, asked_steps, averaged_weights

BATCH = 48
ATTRIBUTES = {"noun": list(NOUNS), "style": list(STYLES), "background": list(BACKGROUNDS)}


class Judge(nn.Module):
    """A small convolutional network: pictures (B, 3, 96, 96) in [0, 1] -> logits by attribute."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 32, 64, 96, 128]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GroupNorm(8, outputs), nn.SiLU(),
                nn.Conv2d(outputs, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.SiLU(),
            ]  # fmt: skip
        self.body = nn.Sequential(*layers)
        # Not averaged over the picture: the positions of features distinguish shapes.
        self.heads = nn.ModuleDict(
            {name: nn.Linear(128 * 9, len(values)) for name, values in ATTRIBUTES.items()}
        )

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = F.adaptive_avg_pool2d(self.body(pictures - 0.5), 3).flatten(1)
        return {name: head(features) for name, head in self.heads.items()}


@dataclass(frozen=True)
class Verdict:
    """The judge's probabilities (n, values) by attribute, in the order of `ATTRIBUTES`."""

    noun: Tensor
    style: Tensor
    background: Tensor


def load_judge() -> Judge:
    """The trained judge."""
    judge = Judge()
    judge.load_state_dict(averaged_weights("judge"))
    return judge.eval()


@torch.no_grad()
def verdict(judge: Judge, pictures: Pictures) -> Verdict:
    """Judge pictures (n, 96, 96, 3) in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float()
    logits = [judge(part) for part in pixels.split(128)]
    return Verdict(**{name: torch.cat([part[name] for part in logits]).softmax(dim=1) for name in ATTRIBUTES})


def labels_of(chosen: Sequence[Subject]) -> dict[str, Tensor]:
    """The correct answers for subjects: indices (n,) by attribute."""
    return {
        name: torch.tensor([values.index(getattr(subject, name)) for subject in chosen])
        for name, values in ATTRIBUTES.items()
    }


def accuracy(judge: Judge, pictures: Pictures, wanted: Sequence[Subject]) -> dict[str, float]:
    """The share of pictures in which the judge recognises the wanted value of each attribute."""
    seen = verdict(judge, pictures)
    return {
        name: float((getattr(seen, name).argmax(dim=1) == labels).float().mean())
        for name, labels in labels_of(wanted).items()
    }


def degrade(pixels: Tensor) -> Tensor:
    """Blur, noise, a shift of up to 4 pixels and a change of brightness, random for each picture."""
    count = len(pixels)
    blurred = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    weight = torch.rand(count, 1, 1, 1)
    pixels = pixels * weight + blurred * (1 - weight)
    theta = torch.eye(2, 3).repeat(count, 1, 1)
    theta[:, :, :2] *= 1 + (torch.rand(count, 1, 1) - 0.5) * 0.15
    theta[:, :, 2] = (torch.rand(count, 2) - 0.5) * 0.16
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    pixels = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    coarse = F.interpolate(torch.randn(count, 3, 12, 12), size=pixels.shape[2:], mode="bilinear")
    noise = torch.randn_like(pixels) * 0.04 + coarse * 0.06
    return (pixels + noise * torch.rand(count, 1, 1, 1) + (torch.rand(count, 3, 1, 1) - 0.5) * 0.06).clamp(
        0, 1
    )


def main() -> None:
    steps = asked_steps(__doc__, default=600)
    torch.manual_seed(6)
    judge = Judge()
    run = Run("judge", judge, steps, rate=1e-3, decay_from=0.4, average=0.99)
    maker = PictureMaker(seed=0)
    renders = maker.subjects(subjects())
    pictures = torch.from_numpy(renders).permute(0, 3, 1, 2)
    labels = labels_of(subjects())
    for step in run.loop():
        rows = torch.randint(len(pictures), (BATCH,))
        logits = judge(degrade(pictures[rows]))
        losses = {name: F.cross_entropy(logits[name], labels[name][rows]) for name in ATTRIBUTES}
        run.update(torch.stack(list(losses.values())).sum())
        if step % 50 == 0:
            run.log(**{name: value.item() for name, value in losses.items()})
    print(accuracy(run.averaged, renders, subjects()))


if __name__ == "__main__":
    main()
