"""The builder under a type checker: right sockets pass, wrong ones are type errors."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="static types are checked with mypy")

ROOT = Path(__file__).parents[2]
SNIPPET = """\
from typing import assert_type

from run_graph import CancelToken, Graph, Session
from sample_nodes import Blur, Image, LoadPhoto, Mask, SavePhoto, Scale

g = Graph()
photo = g.add(LoadPhoto(name="fox.png"))
assert_type(photo.image, Image)
assert_type(photo.mask, Mask)
blur = g.add(Blur(image=photo.image, radius=2, edge="wrap"))
scale = g.add(Scale(image=blur.image, mask=photo.mask))
saved = g.add(SavePhoto(image=scale.image))
result = g.run()
assert_type(result.value(saved.path), str)
assert_type(result.seconds, float)
g.run([saved, blur.image], token=CancelToken(), session=Session(), on_event=print, cache=False, strict=True)

Blur(image=photo.mask)  # wrong: arg-type
Scale(image=photo.image, mask=photo.image)  # wrong: arg-type
Blur(image="fox.png")  # wrong: arg-type
Blur(image=photo.image, radius="soft")  # wrong: arg-type
Blur(image=photo.image, edge="wrapp")  # wrong: arg-type
Blur(image=photo.image, colour=1)  # wrong: call-arg
Blur(radius=1.0)  # wrong: call-arg
photo.picture  # wrong: attr-defined
g.add(LoadPhoto)  # wrong: arg-type
g.run(token="stop")  # wrong: arg-type
g.run(session=Graph())  # wrong: arg-type
g.run(tokn=CancelToken())  # wrong: call-arg
"""


def test_linking_a_wrong_socket_is_a_type_error_and_a_right_one_is_not(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nmypy_path = {ROOT}:{ROOT / 'tests'}\nfollow_imports = silent\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", config, "--no-error-summary", snippet],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    found = {
        (int(line), code)
        for line, code in re.findall(
            r"snippet\.py:(\d+): error: .* \[([a-z-]+)\]$", done.stdout, re.MULTILINE
        )
    }
    expected = {
        (number, line.partition("# wrong: ")[2])
        for number, line in enumerate(SNIPPET.splitlines(), start=1)
        if "# wrong: " in line
    }
    assert found == expected, done.stdout
