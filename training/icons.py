"""Render the icon sets to RGBA arrays: `python -m training.icons`.

The artwork comes from npm (`npm install --prefix training/data $(python -m training.icons --packages)`).
"""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.domain import NOUNS, STYLES

DATA = Path(__file__).parent / "data"
SIDE = 96  # Side of a picture, in pixels.
ICON = 80  # Side of the centred icon in it, in pixels.
INK = "#1a1a1a"  # The colour of line drawings.

Rgba = NDArray[np.uint8]


def render_icon(icon_set: dict[str, Any], name: str) -> Rgba:
    """One icon in the middle of a transparent picture, (SIDE, SIDE, 4) uint8, alpha not premultiplied."""
    import resvg_py
    from PIL import Image

    icon = icon_set["icons"][name]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", icon_set.get("width", 16))
    height = icon.get("height", icon_set.get("height", 16))
    body = icon["body"].replace("currentColor", INK)
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{ICON}" height="{ICON}">{body}</svg>'
    )
    drawn = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA")
    picture = Image.new("RGBA", (SIDE, SIDE))
    picture.paste(drawn, ((SIDE - drawn.width) // 2, (SIDE - drawn.height) // 2))
    return np.asarray(picture)


def read_set(package: str) -> dict[str, Any]:
    """An icon set in Iconify's JSON format."""
    file = DATA / "node_modules" / package / "icons.json"
    if not file.is_file():
        raise SystemExit(
            f"{file} is missing. Fetch it: npm install --prefix {DATA} {' '.join(STYLES.values())}"
        )
    return dict(json.loads(file.read_bytes()))


def other_names(sets: list[dict[str, Any]]) -> list[str]:
    """The icons in all sets that are not nouns of the domain; they are used without a caption."""
    common = set.intersection(*(set(icon_set["icons"]) for icon_set in sets))
    return sorted(common - set(NOUNS.values()))


def render_all() -> None:
    """Write `icons.npz`: `domain` (noun, style, y, x, 4) and `others` (icon, style, y, x, 4), uint8."""
    sets = [read_set(package) for package in STYLES.values()]
    domain = [[render_icon(icon_set, name) for icon_set in sets] for name in NOUNS.values()]
    others = [[render_icon(icon_set, name) for icon_set in sets] for name in other_names(sets)]
    np.savez_compressed(DATA / "icons.npz", domain=np.stack(domain), others=np.stack(others))


def load_icons() -> tuple[Rgba, Rgba]:
    """The arrays of `render_all`: (nouns, styles, 96, 96, 4) and (others, styles, 96, 96, 4), uint8."""
    with np.load(DATA / "icons.npz") as file:
        return file["domain"], file["others"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", action="store_true", help="print the npm packages and stop")
    if parser.parse_args().packages:
        print(*STYLES.values())
    else:
        render_all()
