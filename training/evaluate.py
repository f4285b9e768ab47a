"""How often the pictures show what was asked for: `python -m training.evaluate [FOLDER]`.

Evaluates every noun, style and background without a reference, the held-out combinations, and references
alone (empty prompt, mode `highest`). `training.judge` classifies the pictures. Prints a table in Markdown.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from run_graph.runtime.models.tiny import TINY_FOLDER
from training.captions import canonical
from training.domain import held_out, subjects, training_subjects
from training.icons import DATA
from training.judge import ATTRIBUTES, accuracy, load_judge
from training.pictures import PictureMaker, Pictures, eight_bit
from training.sampling import Checkpoint

STEPS = 8


def row(title: str, count: int, shares: dict[str, float]) -> str:
    """A row of the table."""
    return f"| {title} | {count} | " + " | ".join(f"{shares[name]:.1%}" for name in ATTRIBUTES) + " |"


def sheet(pictures: Pictures, columns: int, file: Path) -> None:
    """Save the pictures side by side in one file, to look at."""
    columns = min(columns, len(pictures))
    rows = len(pictures) // columns
    grid = pictures[: rows * columns].reshape(rows, columns, 96, 96, 3).transpose(0, 2, 1, 3, 4)
    Image.fromarray(eight_bit(grid.reshape(rows * 96, columns * 96, 3))).save(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=TINY_FOLDER)
    parser.add_argument("--every", type=int, default=1, help="judge only every n-th combination")
    options = parser.parse_args()
    checkpoint, judge, maker = Checkpoint(options.folder), load_judge(), PictureMaker(seed=0)
    print("| pictures | number | noun | style | background |\n|---|---|---|---|---|")

    renders = maker.subjects(subjects())
    print(row("the renders themselves", len(renders), accuracy(judge, renders, subjects())))
    for title, wanted in {
        "prompt alone, every combination": subjects()[:: options.every],
        "of these, trained on": training_subjects()[:: options.every],
        "of these, held out": sorted(held_out()),
    }.items():
        captions = [canonical(s.noun, s.style, s.background) for s in wanted]
        drawn = checkpoint.draw(captions, list(range(len(wanted))), STEPS)
        print(row(title, len(wanted), accuracy(judge, drawn, wanted)), flush=True)
        sheet(drawn[::7], 12, DATA / f"{title.split()[-1]}.png")

    for title, pool in {"training": training_subjects()[::3], "held-out": sorted(held_out())}.items():
        pool = pool[:: options.every]
        shown = maker.subjects(pool)
        drawn = checkpoint.draw([""] * len(pool), list(range(len(pool))), STEPS, factor=1, references=shown)
        print(
            row(f"reference alone at `highest`, {title} pictures", len(pool), accuracy(judge, drawn, pool)),
            flush=True,
        )
        both = np.stack([shown, drawn], axis=1).reshape(-1, 96, 96, 3)
        sheet(both[: 12 * 8], 12, DATA / f"reference-{title}.png")


if __name__ == "__main__":
    main()
