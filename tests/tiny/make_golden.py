"""Write golden/<mode>.png: the output of the shipped `workflows/redux.json` in each mode.

Run from the repository root, on a CPU, after the shipped weights have changed:
python tests/tiny/make_golden.py
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    from pictures import GOLDEN, MODES, Painter

    painter = Painter()
    for mode in MODES:
        pixels = painter.draw("redux", {"smaller.mode": mode})
        Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(GOLDEN / f"{mode}.png", optimize=True)
