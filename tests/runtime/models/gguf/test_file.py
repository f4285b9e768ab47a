"""Headers of GGUF files: what they say, and that a damaged one costs a message and nothing else."""

import struct
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from gguf_samples import blocks, write_gguf

from run_graph.runtime.models.layouts.headers import is_gguf, model_header

FLOATS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tensors = {
        "plain": (FLOATS, "F32"),
        "half": (FLOATS.astype(np.float16), "F16"),
        "packed": (blocks("Q8_0", 2, 64), "Q8_0"),
        "deep": (blocks("Q6_K", 3, 512), "Q6_K"),
    }
    words = ["a", "b" * 100, ""]
    return write_gguf(tmp_path / "m.gguf", tensors, general__name="a name", words=words, many=list(range(99)))


def test_a_header_names_types_shapes_and_places(path: Path) -> None:
    header = model_header(path)
    assert is_gguf(path)
    assert {name: (each.dtype, each.shape) for name, each in header.tensors.items()} == {
        "plain": ("F32", (3, 4)),
        "half": ("F16", (3, 4)),
        "packed": ("Q8_0", (2, 64)),
        "deep": ("Q6_K", (3, 512)),
    }
    assert header.tensors["packed"].nbytes == 2 * 2 * 34
    assert header.metadata == {"general.architecture": "flux", "general.name": "a name"}
    plain = header.tensors["plain"]
    content = path.read_bytes()[plain.start : plain.start + plain.nbytes]
    np.testing.assert_array_equal(np.frombuffer(content, np.float32).reshape(3, 4), FLOATS)


def test_a_shape_that_the_converter_changed_is_given_back(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"w": (FLOATS, "F32")}, comfy__gguf__orig_shape__w=[2, 6])
    assert model_header(path).tensors["w"].shape == (2, 6)


def test_a_file_cut_short_anywhere_is_told(path: Path, tmp_path: Path) -> None:
    content, cut = path.read_bytes(), tmp_path / "cut.gguf"
    ends = [*range(4, 400), *np.random.default_rng(0).integers(400, len(content) - 32, 60)]
    for end in ends:
        cut.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"is damaged or cut short: .* Download or copy it again\."):
            model_header(cut)


def test_damaged_files_are_read_or_told_quickly(path: Path, tmp_path: Path) -> None:
    rng, content, damaged = np.random.default_rng(0), path.read_bytes(), tmp_path / "damaged.gguf"
    end = model_header(path).tensors["plain"].start
    began = time.perf_counter()
    for _ in range(1500):
        changed = bytearray(content)
        for place in rng.integers(4, end, rng.integers(1, 5)):
            changed[place] = rng.choice([0, 255, rng.integers(256)])
        damaged.write_bytes(changed)
        with suppress(ValueError):
            model_header(damaged)
    assert time.perf_counter() - began < 20


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


def header(tensors: int = 0, entries: int = 0, rest: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<I", version) + number(tensors) + number(entries) + rest


def info(name: bytes, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    dimensions = struct.pack("<I", len(shape)) + b"".join(map(number, shape))
    return number(len(name)) + name + dimensions + struct.pack("<I", kind) + number(offset)


HUGE = 2**63
NAMED = number(1) + b"k"
BAD = {
    "of version 1": header(version=1),
    "another order of bytes": b"GGUF" + struct.pack(">I", 3) + bytes(16),
    "promises 9,223": header(tensors=HUGE),
    "cut short": header(entries=HUGE),
    "a text of its header has": header(entries=1, rest=number(HUGE)),
    "value of type 99": header(entries=1, rest=NAMED + struct.pack("<I", 99)),
    "array of type 9": header(entries=1, rest=NAMED + struct.pack("<II", 9, 9) + number(HUGE)),
    "or longer than any": header(entries=1, rest=NAMED + struct.pack("<II", 9, 4) + number(HUGE)),
    "longer than": header(entries=1, rest=NAMED + struct.pack("<II", 9, 8) + number(HUGE) + bytes(99)),
    "has shape": header(1, rest=info(b"w", (HUGE, HUGE))),
    "has 0 dimensions": header(1, rest=info(b"w", ())),
    r"\(0,\)": header(1, rest=info(b"w", (0,))),
    "ends at byte": header(1, rest=info(b"w", (4,), offset=2**40) + bytes(64)),
    "do not divide into blocks of Q8_0": header(1, rest=info(b"w", (31,), kind=8) + bytes(64)),
    "two tensors called w": header(2, rest=info(b"w", (1,)) * 2 + bytes(64)),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_is_told(tmp_path: Path, what: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(BAD[what])
    with pytest.raises(ValueError, match=what):
        model_header(path)
