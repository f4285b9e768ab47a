"""PNG text is read wherever it is in the file, in every encoding, and never beyond a limit."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from run_graph.runtime.images import png_text
from run_graph.runtime.images.png_text import PngTextError, read_text


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, end: bytes = chunk(b"IEND", b"")) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"".join([png_text.SIGNATURE, header, *chunks, end])


def text_of(tmp_path: Path, data: bytes) -> dict[str, str]:
    (tmp_path / "a.png").write_bytes(data)
    return read_text(tmp_path / "a.png")


@pytest.mark.parametrize("compressed", [False, True])
def test_all_three_kinds_of_text_are_read(tmp_path: Path, compressed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("latin", "café", zip=compressed)
    info.add_itxt("unicode", "狐 🦊", lang="ja", tkey="狐", zip=compressed)
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG", pnginfo=info)
    assert text_of(tmp_path, buffer.getvalue()) == {"latin": "café", "unicode": "狐 🦊"}


def test_text_after_the_pixels_is_read(tmp_path: Path) -> None:
    data = png(chunk(b"IDAT", bytes(100)), chunk(b"tEXt", b"prompt\0{}"))
    assert text_of(tmp_path, data) == {"prompt": "{}"}


def test_the_last_text_of_a_repeated_keyword_wins(tmp_path: Path) -> None:
    assert text_of(tmp_path, png(chunk(b"tEXt", b"a\0one"), chunk(b"tEXt", b"a\0two"))) == {"a": "two"}


def test_chunks_after_the_end_are_not_read(tmp_path: Path) -> None:
    assert text_of(tmp_path, png() + chunk(b"tEXt", b"a\0one")) == {}


def test_a_file_of_another_format_has_no_text(tmp_path: Path) -> None:
    assert text_of(tmp_path, b"GIF89a") == {}
    assert text_of(tmp_path, b"") == {}


def test_a_truncated_png_gives_the_text_before_the_cut(tmp_path: Path) -> None:
    data = png(chunk(b"tEXt", b"a\0one"), chunk(b"IDAT", bytes(100)), end=b"")
    assert text_of(tmp_path, data[:-50]) == {"a": "one"}


@pytest.mark.parametrize(
    "bomb",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000))),
        chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(200_000))),
        chunk(b"tEXt", b"a\0" + bytes(200_000)),
        chunk(b"tEXt", b"a\0" + bytes(60_000)) + chunk(b"tEXt", b"b\0" + bytes(60_000)),
    ],
)
def test_text_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bomb: bytes
) -> None:
    monkeypatch.setattr(png_text, "MAX_TEXT_BYTES", 100_000)
    with pytest.raises(PngTextError, match=r"a\.png: its text is longer than 100,000 bytes"):
        text_of(tmp_path, png(bomb))


def test_a_compressed_bomb_is_refused_without_expanding_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000))))
    monkeypatch.setattr(png_text, "MAX_TEXT_BYTES", 100_000)
    tracemalloc.start()
    with pytest.raises(PngTextError, match="longer than"):
        text_of(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "damaged", [chunk(b"zTXt", b"a\0\0no zlib stream"), chunk(b"iTXt", b"a\0\0\0"), chunk(b"iTXt", b"a")]
)
def test_damaged_text_is_reported(tmp_path: Path, damaged: bytes) -> None:
    with pytest.raises(PngTextError, match=r"a\.png: .*damaged.*; save the picture again"):
        text_of(tmp_path, png(damaged))


def test_a_chunk_that_claims_four_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(PngTextError, match="longer than"):
        text_of(tmp_path, png(struct.pack(">I4s", 0xFFFFFFFF, b"tEXt"), end=b""))
