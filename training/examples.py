"""Write the example reference pictures that come from the domain: `python -m training.examples`."""

from pathlib import Path

import numpy as np
from PIL import Image

from training.domain import Subject
from training.pictures import PictureMaker

FOLDER = Path(__file__).parent.parent / "workflows" / "images"
PICTURES = {
    "fox.png": Subject("fox", "shaded", "green"),
    "strawberry.png": Subject("strawberry", "shaded", "pink"),
    "rocket.png": Subject("rocket", "flat", "purple"),
    "castle.png": Subject("castle", "line", "yellow"),
}


def main() -> None:
    maker = PictureMaker(seed=0)
    for name, subject in PICTURES.items():
        pixels = (maker.subject(subject) * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
