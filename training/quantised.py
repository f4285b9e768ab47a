"""How quantised weights change the pictures: `python -m training.quantised`.

The `run-graph` command draws one prompt per noun, with each style and background in turn, in full precision
and with the FLUX model at 8 and 4 bits. Prints a table in Markdown.
"""

import json

import numpy as np

from run_graph.runtime.models.tiny import tiny_digest
from training.captions import canonical
from training.domain import BACKGROUNDS, NOUNS, STYLES, Subject
from training.drawn import run_graph, saved
from training.evaluate import row
from training.icons import DATA
from training.judge import accuracy, load_judge
from training.pictures import Pictures

FOLDER = DATA / "quantised" / tiny_digest()


def asked() -> list[Subject]:
    """One subject per noun."""
    styles, backgrounds = list(STYLES), list(BACKGROUNDS)
    return [
        Subject(noun, styles[index % len(styles)], backgrounds[index // len(styles) % len(backgrounds)])
        for index, noun in enumerate(NOUNS)
    ]


def draw(prompts: list[str], bits: int | None) -> Pictures:
    """Pictures of the prompts, drawn by `run-graph`, (n, 96, 96, 3) in [0, 1]."""
    output = FOLDER / str(bits)
    packed = ["--set", f"flux.quantize={bits}"] if bits else []
    run_graph("text_to_image.json", output, *packed, "--sweep", "prompt.prompt=" + json.dumps(prompts))
    return saved(output, prompts, lambda settings: str(settings["prompt"]))


def main() -> None:
    judge, subjects = load_judge(), asked()
    prompts = [canonical(s.noun, s.style, s.background) for s in subjects]
    full = draw(prompts, None)
    print("| weights | number | noun | style | background | mean difference, of 255 |")
    print("|---" * 6 + "|")
    for title, drawn in (("bfloat16", full), ("8 bits", draw(prompts, 8)), ("4 bits", draw(prompts, 4))):
        difference = np.abs(drawn - full).mean() * 255
        print(row(title, len(subjects), accuracy(judge, drawn, subjects)), f"{difference:.1f} |", flush=True)


if __name__ == "__main__":
    main()
