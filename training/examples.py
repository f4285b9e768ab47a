"""Write the example reference pictures that are in the domain: `python -m training.examples`."""

from pathlib import Path

from PIL import Image

from training.domain import Subject
from training.pictures import PictureMaker, eight_bit

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
        Image.fromarray(eight_bit(maker.subject(subject))).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
