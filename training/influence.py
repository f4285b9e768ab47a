"""How strongly a reference competes with a prompt, mode by mode: `python -m training.influence`.

The `run-graph` command (sweeps of `workflows/redux.json`) draws pictures for pairs of a prompt and a
reference that differ in noun, style and background, for each mode, interpolation and seed. Measured are:

- background: how far the frame's colour has moved from the prompt's background (0) to the reference's (1);
- noun: the judge's vote for the reference's noun, and for the prompt's;
- pixels: root mean square distance to the reference, and to the render of what the prompt asks for.

Prints tables in Markdown, which also say whether each measure is strictly ordered from `lowest` to `highest`,
and draws a plot.
"""

import argparse
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from run_graph.runtime.models.tiny import tiny_digest
from training.captions import canonical
from training.domain import Subject, training_subjects
from training.drawn import run_graph, saved
from training.icons import DATA
from training.judge import ATTRIBUTES, Judge, load_judge, verdict
from training.pictures import PictureMaker, Pictures, background_shift, eight_bit

FOLDER = DATA / "influence" / tiny_digest()  # Never reuse pictures drawn with other weights.
MODES = ["lowest", "low", "medium", "high", "highest"]
INTERPOLATIONS = ["area", "bicubic", "bilinear", "nearest", "nearest-exact"]
# Measure -> whether it should rise from `lowest` to `highest`.
MEASURES = {
    "background shift": True,
    "vote for the reference's noun": True,
    "vote for the prompt's noun": False,
    "distance to the reference": False,
    "distance to the prompt's render": True,
}


@dataclass(frozen=True)
class Pair:
    """What the prompt asks for and what the reference shows."""

    asked: Subject
    shown: Subject


def pairs(count: int) -> list[Pair]:
    """Pairs that differ in every attribute; the same pairs on every call."""
    draw = random.Random(64)
    chosen: list[Pair] = []
    while len(chosen) < count:
        asked, shown = draw.sample(training_subjects(), 2)
        if asked.noun != shown.noun and asked.style != shown.style and asked.background != shown.background:
            chosen.append(Pair(asked, shown))
    return chosen


def prompt(pair: Pair) -> str:
    return canonical(pair.asked.noun, pair.asked.style, pair.asked.background)


def draw(chosen: list[Pair], mode: str, interpolation: str, seed: int) -> Pictures:
    """Run `run-graph` once over all pairs and read the pictures it saved, (n, 96, 96, 3) in [0, 1]."""
    output = FOLDER / f"{mode}-{interpolation}-{seed}"
    if not output.is_dir() or len(list(output.glob("*.png"))) < len(chosen):
        run_graph(
            "redux.json", output, "--zip",
            "--sweep", "photo.image=" + json.dumps([str(_file(index)) for index in range(len(chosen))]),
            "--sweep", "prompt.prompt=" + json.dumps([prompt(pair) for pair in chosen]),
            "--set", f"smaller.mode={mode}", "--set", f"smaller.interpolation={interpolation}",
            "--set", f"sample.seed={seed}",
        )  # fmt: skip
    references = [_file(index).stem for index in range(len(chosen))]
    return saved(output, references, lambda settings: Path(settings["redux_image_paths"][0]).stem)


def _file(index: int) -> Path:
    return (FOLDER / "references" / f"{index:03}.png").resolve()


def measure(judge: Judge, maker: PictureMaker, chosen: list[Pair], drawn: Pictures) -> dict[str, np.ndarray]:
    """Every measure for every pair, (n,)."""
    votes = verdict(judge, drawn).noun.numpy()
    nouns = ATTRIBUTES["noun"]
    rows = np.arange(len(chosen))
    shown = maker.subjects(pair.shown for pair in chosen)
    asked = maker.subjects(pair.asked for pair in chosen)
    return {
        "background shift": np.array(
            [
                background_shift(picture, pair.asked.background, pair.shown.background)
                for picture, pair in zip(drawn, chosen, strict=True)
            ]
        ),
        "vote for the reference's noun": votes[rows, [nouns.index(pair.shown.noun) for pair in chosen]],
        "vote for the prompt's noun": votes[rows, [nouns.index(pair.asked.noun) for pair in chosen]],
        "distance to the reference": np.sqrt(np.mean((drawn - shown) ** 2, axis=(1, 2, 3))),
        "distance to the prompt's render": np.sqrt(np.mean((drawn - asked) ** 2, axis=(1, 2, 3))),
    }


Results = dict[str, dict[str, np.ndarray]]  # Mode -> measure -> values.


def table(results: Results) -> Iterable[str]:
    """Mean and standard error of each measure by mode, and whether it is strictly ordered."""
    yield "| measure | " + " | ".join(results) + " | strictly ordered |"
    yield "|---" * (len(results) + 2) + "|"
    for name, rises in MEASURES.items():
        means = [values[name].mean() for values in results.values()]
        cells = [
            f"{v[name].mean():.3f} ± {v[name].std() / len(v[name]) ** 0.5:.3f}" for v in results.values()
        ]
        steps = np.diff(means) * (1 if rises else -1)
        yield f"| {name} | " + " | ".join(cells) + f" | {'yes' if (steps > 0).all() else 'no'} |"


def plot(results: dict[str, Results], file: Path) -> None:
    """Plot each measure by mode, with a line for each interpolation and standard errors."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(MEASURES), figsize=(19, 3.6))
    for axis, name in zip(axes, MEASURES, strict=True):
        for interpolation, by_mode in results.items():
            values = [by_mode[mode][name] for mode in MODES]
            errors = [v.std() / len(v) ** 0.5 for v in values]
            axis.errorbar(
                MODES, [v.mean() for v in values], errors, label=interpolation, capsize=3,
                linewidth=2.2 if interpolation == "area" else 1,
            )  # fmt: skip
        axis.set_title(name, fontsize=10)
        axis.tick_params(axis="x", labelsize=8)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--others", type=int, default=16, help="pairs for each interpolation except `area`, with one seed"
    )
    parser.add_argument("--plot", type=Path, default=Path("docs/images/influence.png"))
    options = parser.parse_args()
    judge, maker, all_pairs = load_judge(), PictureMaker(seed=0), pairs(options.pairs)
    (FOLDER / "references").mkdir(parents=True, exist_ok=True)
    for index, pair in enumerate(all_pairs):
        Image.fromarray(eight_bit(maker.subject(pair.shown))).save(_file(index))
    results: dict[str, Results] = {}
    for interpolation in INTERPOLATIONS:
        is_default = interpolation == "area"
        seeds = range(1, 1 + (options.seeds if is_default else 1))
        chosen = all_pairs if is_default else all_pairs[: options.others]
        results[interpolation] = {}
        for mode in MODES:
            by_seed = [
                measure(judge, maker, chosen, draw(chosen, mode, interpolation, seed)) for seed in seeds
            ]
            results[interpolation][mode] = {
                name: np.concatenate([values[name] for values in by_seed]) for name in MEASURES
            }
        print(f"\n`{interpolation}`, {len(chosen)} pairs, seeds {list(seeds)}\n", flush=True)
        print("\n".join(table(results[interpolation])), flush=True)
    plot(results, options.plot)


if __name__ == "__main__":
    main()
