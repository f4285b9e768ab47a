"""Train the SigLIP tower alone, as the real one is trained before FLUX and Redux meet it, then freeze it.

Every token must encode, even after averaging to a coarser grid: what the picture shows and in which style
(over the whole picture), its background, the colours of its own cell, and its position.
For most of the run the network sees a random quarter of the patches (Li et al. 2023, "Scaling Language-Image
Pre-training via Masking"), at a tenth of the cost; at the end it sees all of them, on grids of all sizes.

`python -m training.vision [--steps N]`
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from training import sizes
from training.domain import NOUNS, STYLES, Subject, training_subjects
from training.grid import GRIDS, cell_centres, cell_means, resize
from training.pictures import PictureMaker, Pictures, background, eight_bit, over
from training.running import Run, asked_steps

BATCH = 32
SEEN = 182  # Of the 729 patches, the number that the network sees in the first part of the run.
SEES_ALL_FROM = 0.88
_NOUNS, _STYLES = list(NOUNS), list(STYLES)
_SUBJECTS = training_subjects()


def siglip_input(pictures: Pictures, exact: bool = False) -> Tensor:
    """Pictures (n, 96, 96, 3) in [0, 1] -> (n, 3, 384, 384) in [-1, 1].

    `exact` resizes with Pillow, as `SiglipEncode` does; otherwise torch does, faster and slightly different.
    """
    side = sizes.SPEC.siglip_image
    if not exact:
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2) * 2 - 1
        return F.interpolate(pixels, size=(side, side), mode="bicubic").clamp(-1, 1)
    files = map(Image.fromarray, eight_bit(pictures))
    grown = [np.asarray(file.resize((side, side), Image.Resampling.BICUBIC)) for file in files]
    return torch.from_numpy(np.stack(grown)).permute(0, 3, 1, 2).float() / 127.5 - 1


def waves(side: int, width: int) -> Tensor:
    """Sines and cosines of row and column, (side * side, width): initial values of the position table.

    A table with random initial values would first have to learn which patches are neighbours.
    """
    frequencies = torch.pi * 2.0 ** torch.linspace(-1, 3.5, width // 4)
    angles = cell_centres(side)[:, :, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1) * 0.5


class Teacher(nn.Module):
    """SigLIP and the heads that read its tokens during training; the heads are discarded afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.siglip = sizes.vision_encoder()
        width = sizes.SPEC.siglip_width
        tower = getattr(self.siglip, "vision_model", self.siglip)
        tower.embeddings.position_embedding.weight.data.copy_(waves(27, width))
        self.noun = nn.Linear(width, len(_NOUNS))
        self.style = nn.Linear(width, len(_STYLES))
        self.background = nn.Linear(width, 3)
        self.colours = nn.Linear(width, 12)  # Two by two quarters of the token's cell.
        self.place = nn.Linear(width, 2)

    def tokens(self, pixels: Tensor, seen: Tensor | None = None) -> Tensor:
        """Features after the last layer norm, (B, 729, width), or only those of the patches `seen`."""
        tower = getattr(self.siglip, "vision_model", self.siglip)
        patches = tower.embeddings(pixels)
        patches = patches if seen is None else patches[:, seen]
        return tower.post_layernorm(tower.encoder(inputs_embeds=patches).last_hidden_state)


def batch(maker: PictureMaker) -> tuple[Pictures, Tensor, Tensor, Tensor]:
    """Pictures, noun and style indices (-1: none), and background colours (NaN: none)."""
    random = maker.random
    pictures, nouns, styles, backgrounds = [], [], [], []
    others, fields, flat = maker.other_icons(BATCH), maker.fields(BATCH), maker.flat(BATCH)
    for index in range(BATCH):
        kind = random.random()
        colour = flat[index, 0, 0]
        subject: Subject | None = _subject(random)
        if kind < 0.6:
            pictures.append(maker.subject(subject))
            colour = background(subject.background)
        elif kind < 0.76:
            on_field = random.random() < 0.3
            pictures.append(over(_icon(maker, subject), fields[index] if on_field else flat[index]))
            colour = np.full(3, np.nan, np.float32) if on_field else colour
        elif kind < 0.9:
            subject = None
            pictures.append(over(others[index], flat[index]))
        else:
            subject = None
            pictures.append(fields[index])
            colour = np.full(3, np.nan, np.float32)
        nouns.append(-1 if subject is None else _NOUNS.index(subject.noun))
        styles.append(-1 if subject is None else _STYLES.index(subject.style))
        backgrounds.append(colour)
    stacked = np.stack([np.broadcast_to(p, (96, 96, 3)) for p in pictures]).astype(np.float32)
    return stacked, torch.tensor(nouns), torch.tensor(styles), torch.from_numpy(np.stack(backgrounds))


def _subject(random: np.random.Generator) -> Subject:
    """A random subject; half are line drawings, which differ only in shape."""
    chosen = _SUBJECTS[random.integers(len(_SUBJECTS))]
    while chosen.style != "line" and random.random() < 0.5:
        chosen = _SUBJECTS[random.integers(len(_SUBJECTS))]
    return chosen


def _icon(maker: PictureMaker, subject: Subject) -> np.ndarray:
    return maker.domain[_NOUNS.index(subject.noun), _STYLES.index(subject.style)]


def losses(
    teacher: Teacher, tokens: Tensor, made: tuple[Pictures, Tensor, Tensor, Tensor], seen: Tensor | None
) -> dict[str, Tensor]:
    """Losses of the heads: on single tokens or, if all patches were seen, on a grid of random size."""
    pictures, nouns, styles, backgrounds = made
    side = list(GRIDS.values())[int(torch.randint(len(GRIDS), ()))] if seen is None else 27
    cells = resize(tokens, side) if seen is None else tokens
    rows = slice(None) if seen is None else seen
    count = cells.shape[1]
    quarters = cell_means(torch.from_numpy(pictures), 2 * side).reshape(-1, side, 2, side, 2, 3)
    quarters = quarters.permute(0, 1, 3, 2, 4, 5).reshape(-1, side * side, 12)[:, rows]
    centres = cell_centres(side)[rows]
    known = ~backgrounds.isnan().any(dim=1)
    wanted = backgrounds[known][:, None].expand(-1, count, -1)
    logits = teacher.noun(cells)
    return {
        "noun of all": F.cross_entropy(teacher.noun(cells.mean(dim=1)), nouns, ignore_index=-1),
        "noun": F.cross_entropy(logits.flatten(0, 1), nouns.repeat_interleave(count), ignore_index=-1),
        "style": F.cross_entropy(
            teacher.style(cells).flatten(0, 1), styles.repeat_interleave(count), ignore_index=-1
        ),
        "background": 20 * F.mse_loss(teacher.background(cells[known]), wanted),
        "colours": 20 * F.mse_loss(teacher.colours(cells), quarters),
        "place": 5 * F.mse_loss(teacher.place(cells), centres.expand(len(cells), -1, -1)),
    }


def main() -> None:
    steps = asked_steps(__doc__, default=2000)
    torch.manual_seed(2)
    teacher = Teacher()
    run = Run("vision", teacher, steps, rate=2e-3, decay_from=0.3, average=0.995)
    maker = PictureMaker(seed=200 + run.step)
    for step in run.loop(save_every=200):
        made = batch(maker)
        pixels = siglip_input(made[0])
        with torch.autocast("cpu", torch.bfloat16, enabled=False):
            seen = torch.randperm(729)[:SEEN] if step < SEES_ALL_FROM * steps else None
            tokens = teacher.tokens(pixels, seen)
        found = losses(teacher, tokens.float(), made, seen)
        run.update(torch.stack(list(found.values())).sum())
        if step % 20 == 0:
            run.log(**{name: value.item() for name, value in found.items()})


if __name__ == "__main__":
    main()
