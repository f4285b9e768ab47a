"""Paints two reference pictures of the example workflows from formulas alone.

Run from the repository root: python workflows/images/make_images.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[Any]

SUPERSAMPLING = 3


def main() -> None:
    folder = Path(__file__).parent
    paint(sunset, 576, 384).save(folder / "sunset.png", optimize=True)
    paint(teapot, 448, 448).save(folder / "teapot.png", optimize=True)


def paint(scene: Callable[[Array, Array], Array], width: int, height: int) -> Image.Image:
    """Evaluate `scene(x, y)` on a fine grid and downsample it; x and y are in units of the height, y down."""
    fine = SUPERSAMPLING * np.array([height, width])
    y, x = np.mgrid[: fine[0], : fine[1]] / fine[0]
    samples = (np.clip(scene(x, y), 0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(samples).resize((width, height), Image.Resampling.BOX)


def colour(code: str) -> Array:
    """Red, green and blue of a hexadecimal code, 0..1."""
    return np.array(list(bytes.fromhex(code))) / 255


def ramp(t: Array, stops: list[tuple[float, str]]) -> Array:
    """The colour at each t of a gradient through `stops`."""
    places = [place for place, _ in stops]
    colours = np.array([colour(code) for _, code in stops])
    return np.stack([np.interp(t, places, colours[:, c]) for c in range(3)], axis=-1)


def over(below: Array, above: Array, cover: Array) -> Array:
    """Composite `above` over `below` with opacity `cover`, clipped to 0..1."""
    alpha = np.clip(cover, 0, 1).astype(float)[..., None]
    mixed: Array = below * (1 - alpha) + above * alpha
    return mixed


def disc(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float) -> Array:
    """Squared distance from an ellipse's centre; 1 on its outline."""
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2


# -- sunset -----------------------------------------------------------------------------------------

SKY = [(0.0, "24315e"), (0.2, "5b4a86"), (0.36, "c2607c"), (0.5, "f49a5b"), (0.62, "ffd98a")]
SUN = (0.93, 0.5)
SHORE = 0.68
HILLS = [
    ("b0607a", 0.56, 0.050, 3.1, 0.4),
    ("7d4a74", 0.605, 0.045, 4.3, 2.1),
    ("47345f", 0.655, 0.035, 5.7, 4.4),
]


def sunset(x: Array, y: Array) -> Array:
    """Three ranges of hills in front of a low sun, reflected in a lake."""
    ripple = 0.004 * np.sin(260 * (y - SHORE) / (0.25 + y - SHORE + 1e-9)) * (y > SHORE)
    mirrored = np.where(y > SHORE, SHORE - (y - SHORE) * 1.25, y)
    scene = land(x + ripple * 4, mirrored)
    water = scene * 0.72 + colour("3a2f63") * 0.16
    glitter = np.exp(-(((x - SUN[0]) / (0.05 + 0.25 * (y - SHORE))) ** 2))
    glitter = glitter * (np.sin(150 * np.log(1.15 + y - SHORE) * 3) > 0.15) * np.clip((1.02 - y) * 2.5, 0, 1)
    water = over(water, colour("ffe2a0"), 0.6 * glitter)
    return reeds(over(scene, water, y > SHORE), x, y)


def land(x: Array, y: Array) -> Array:
    """Sky, sun, clouds and hills, down to the shore."""
    scene = ramp(y, SKY)
    distance = np.hypot(x - SUN[0], y - SUN[1])
    scene = scene + np.exp(-distance * 5)[..., None] * colour("ff9a50") * 0.45
    scene = over(scene, colour("fff3c9"), (0.085 - distance) / 0.004)
    for cy, thickness, phase in ((0.16, 0.022, 0.0), (0.25, 0.016, 2.0), (0.34, 0.012, 4.1)):
        wave = 0.02 * np.sin(4 * x + phase) + 0.006 * np.sin(17 * x + 2 * phase)
        body = np.exp(-(((y - cy - wave) / thickness) ** 2)) * (0.5 + 0.5 * np.sin(3.3 * x + phase * 1.7))
        scene = over(scene, colour("ffb38a"), 0.55 * body)
    for code, base, height, frequency, phase in HILLS:
        ridge = base - height * np.sin(frequency * x + phase) - height * 0.3 * np.sin(2.7 * frequency * x)
        haze = np.clip((y - ridge) / 0.12, 0, 1)[..., None]
        scene = over(scene, colour(code) * (1 - haze * 0.15) + haze * 0.06, y > ridge)
    return scene


def reeds(scene: Array, x: Array, y: Array) -> Array:
    """Dark reeds in the lower left corner."""
    for i in range(26):
        root, length, lean = (
            0.02 + 0.016 * i,
            0.22 - 0.006 * i + 0.05 * np.sin(i * 2.4),
            0.10 * np.sin(i * 1.3),
        )
        t = (1.0 - y) / length
        blade = np.abs(x - root - lean * t**2) < 0.0045 * (1 - t)
        scene = over(scene, colour("1d1836"), blade & (t < 1))
    return scene


# -- teapot -----------------------------------------------------------------------------------------

LIGHT = np.array([-0.45, -0.65, 0.61])


def teapot(x: Array, y: Array) -> Array:
    """A turquoise teapot and two lemons on a checked cloth."""
    scene = room(x, y)
    for cx, cy, rx, ry in ((0.56, 0.80, 0.30, 0.06), (0.83, 0.85, 0.12, 0.03), (0.27, 0.93, 0.14, 0.03)):
        scene = scene * (1 - 0.5 * np.exp(-1.5 * disc(x, y, cx, cy, rx, ry)))[..., None]
    scene = ball(scene, x, y, disc_at=(0.79, 0.785, 0.085, 0.07), code="f6c930")
    glaze = "1fa6a0"
    scene = tube(scene, handle_distance(x, y), 0.030, glaze)
    scene = tube(scene, *spout(x, y), glaze)
    scene = ball(scene, x, y, disc_at=(0.49, 0.60, 0.235, 0.205), code=glaze)
    scene = band(scene, x, y)
    scene = ball(scene, x, y, disc_at=(0.49, 0.415, 0.125, 0.045), code="17857f")
    scene = ball(scene, x, y, disc_at=(0.49, 0.36, 0.032, 0.032), code="f3ead7")
    return ball(scene, x, y, disc_at=(0.225, 0.86, 0.095, 0.075), code="f2bd22")


def room(x: Array, y: Array) -> Array:
    """A plain wall, and a cloth whose checks get smaller towards the back."""
    wall = ramp(y + 0.25 * x, [(0.0, "f4e6cf"), (0.9, "d9a98c")])
    depth = 0.25 / np.maximum(y - 0.45, 1e-3)
    checks = (np.floor((x - 0.5) * depth * 7) + np.floor(depth * 7)) % 2
    cloth = over(np.broadcast_to(colour("f7f1e6"), (*x.shape, 3)), colour("c8452f"), checks)
    cloth = cloth * np.clip(0.72 + 0.35 * (y - 0.66) + 0.1 * (1 - x), 0, 1)[..., None]
    return over(wall, cloth, y > 0.66)


def ball(scene: Array, x: Array, y: Array, disc_at: tuple[float, float, float, float], code: str) -> Array:
    """A shiny ellipsoid, lit from the upper left."""
    cx, cy, rx, ry = disc_at
    inside = disc(x, y, *disc_at)
    z = np.sqrt(np.clip(1 - inside, 0, 1))
    return over(scene, lit((x - cx) / rx, (y - cy) / ry, z, code), inside < 1)


def tube(scene: Array, distance: Array, radius: float | Array, code: str) -> Array:
    """A round tube along a curve; `distance` is the distance from that curve."""
    across = distance / radius
    z = np.sqrt(np.clip(1 - across**2, 0, 1))
    return over(scene, lit(across * -0.4, across * 0.7, z, code), np.abs(across) < 1)


def lit(nx: Array, ny: Array, nz: Array, code: str) -> Array:
    """Diffuse and glossy shading of a surface with the given normal."""
    facing = nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2]
    diffuse = 0.32 + 0.75 * np.clip(facing, 0, 1)
    gloss = np.clip(2 * nz * facing - LIGHT[2], 0, 1) ** 40
    shaded: Array = colour(code) * diffuse[..., None] + 0.85 * gloss[..., None]
    return shaded


def handle_distance(x: Array, y: Array) -> Array:
    """Distance from the ring of the handle; large inside the pot."""
    return np.where(x > 0.6, np.sqrt(disc(x, y, 0.71, 0.57, 1, 1.15)) - 0.125, 9.0)


def spout(x: Array, y: Array) -> tuple[Array, Array]:
    """Distance from the spout's S-shaped centre line, and its radius, which narrows to the tip."""
    t = np.clip((0.34 - x) / 0.25, 0, 1)
    height, slope = 0.22 * t * t * (3 - 2 * t), 0.22 * 6 * t * (1 - t) / 0.25
    distance = (y - 0.66 + height) / np.hypot(1, slope)
    return np.where((x > 0.09) & (x < 0.34), distance, 9.0), 0.055 - 0.035 * t**0.7


def band(scene: Array, x: Array, y: Array) -> Array:
    """Cream diamonds around the belly, narrowing towards its sides."""
    inside = disc(x, y, 0.49, 0.60, 0.235, 0.205)
    turn = np.arcsin(np.clip((x - 0.49) / 0.235, -1, 1))
    height = (y - 0.60 - 0.03 * np.cos(turn)) / 0.045
    diamonds = np.abs((turn * 2.2) % 1 - 0.5) * 2 + np.abs(height) < 0.9
    shade = np.clip(0.5 + 0.6 * np.cos(turn + 0.5), 0, 1)[..., None]
    return over(scene, colour("f3ead7") * shade, diamonds & (inside < 1))


if __name__ == "__main__":
    main()
