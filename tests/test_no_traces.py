"""No file of the repository names a folder of the machine on which it was made."""

import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from run_graph.runtime.images.png_text import read_text

ROOT = Path(__file__).parents[1]
ABSOLUTE = re.compile(r'"(/(?:home|Users|root|work|tmp|private|var)/[^"]*|[A-Z]:\\\\[^"]*)"')


def tracked_pictures() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "*.png", "*.jpg", "*.webp"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout")
    return [ROOT / name for name in listed]


def test_no_picture_carries_an_absolute_path() -> None:
    pictures = tracked_pictures()
    assert len(pictures) > 5
    found = {
        f"{path.name}: {match}"
        for path in pictures
        for text in [*read_text(path).values(), str(Image.open(path).info.get("exif", b""))]
        for match in ABSOLUTE.findall(text)
    }
    assert found == set()
