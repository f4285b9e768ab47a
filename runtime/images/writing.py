"""Pictures as files, with what they say about themselves.

A PNG carries each document as a text chunk. The other formats have EXIF only: the graph is in the field Model
as ``prompt:{...}`` and the editor's workflow in the field Make as ``workflow:{...}``, which is where ComfyUI
writes and reads them in WebP, and the settings are in the comment.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from run_graph.runtime.images.exif import exif_data
from run_graph.runtime.images.formats import SavedFormat
from run_graph.runtime.images.metadata import Settings, as_text
from run_graph.runtime.values import eight_bit

GRAPH, SETTINGS, EDITOR = "prompt", "run_graph", "workflow"
"""The names of the documents: the graph as run, the settings, and the file of ComfyUI's editor."""

ALPHA = "alpha"
"""The name of the channel that JPEG does not have."""

# An APP1 segment of JPEG states its length, itself included, in 16 bits (ITU-T T.81, B.1.1.4).
_MAX_JPEG_EXIF = 0xFFFF - 2
_COMPRESS_LEVEL = 4  # zlib's, as in ComfyUI
_LOSSLESS = 100


class EncodedPicture(NamedTuple):
    """A file's bytes, and the names of the documents that did not fit into it, or `ALPHA`."""

    data: bytes
    left_out: tuple[str, ...] = ()


def encode(
    samples: npt.NDArray[np.uint8], saved: SavedFormat, documents: Mapping[str, Settings], quality: int = 90
) -> EncodedPicture:
    """A picture as a file.

    Parameters
    ----------
    samples : uint8 array
        ``(H, W, 3)``, sRGB, or ``(H, W, 4)`` with alpha.
    saved : str
        The format.
    documents : mapping
        Any of `GRAPH`, `SETTINGS` (:func:`runtime.images.metadata.picture_metadata`) and `EDITOR`. A PNG may
        carry others too.
    quality : int
        1..100, for formats other than PNG; WebP is lossless at 100.

    Returns
    -------
    EncodedPicture
        JPEG has no alpha, which is left out, and room for 64 KB of EXIF: the editor's workflow, the graph and
        then the settings are left out if they do not fit.
    """
    left_out: list[str] = []
    if saved == "jpeg" and samples.shape[2] == 4:
        samples, left_out = samples[..., :3], [ALPHA]
    picture = Image.fromarray(samples)
    if saved == "png":
        settings = documents.get(SETTINGS)
        exif = None if settings is None else exif_data(settings)
        return EncodedPicture(png(picture, as_text(documents), exif))
    kept = dict(documents)
    data = _exif(kept)
    while saved == "jpeg" and data is not None and len(data) > _MAX_JPEG_EXIF:
        left_out.append(next(name for name in (EDITOR, GRAPH, SETTINGS) if name in kept))
        del kept[left_out[-1]]
        data = _exif(kept)
    options: dict[str, Any] = {"quality": quality}
    if saved == "webp":
        options["lossless"] = quality == _LOSSLESS
    if data is not None:
        options["exif"] = data
    buffer = io.BytesIO()
    picture.save(buffer, saved.upper(), **options)
    return EncodedPicture(buffer.getvalue(), tuple(left_out))


def animation(
    pictures: Sequence[npt.NDArray[np.uint8]],
    documents: Mapping[str, Settings],
    *,
    milliseconds: int,
    lossless: bool,
    quality: int,
    effort: int,
) -> bytes:
    """Pictures of one size, ``(H, W, 3)`` or ``(H, W, 4)``, as the frames of an endless animation in WebP.

    Parameters
    ----------
    pictures : sequence of uint8 arrays
    documents : mapping
        As for `encode`.
    milliseconds : int
        How long each is shown.
    lossless : bool
    quality : int
        0..100; if lossless, how hard the encoder tries.
    effort : int
        0 is the quickest, 6 gives the smallest file.
    """
    first, *others = (Image.fromarray(picture) for picture in pictures)
    exif = _exif(documents)
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=milliseconds,
        lossless=lossless,
        quality=quality,
        method=effort,
        **({} if exif is None else {"exif": exif}),
    )
    return buffer.getvalue()


def to_png(pixels: npt.NDArray[Any]) -> bytes:
    """Pixels, float ``(H, W, 3)``, 0..1, as an 8-bit PNG without metadata; values outside are clipped."""
    return png(Image.fromarray(eight_bit(pixels)), {})


def png(picture: Image.Image, text: Mapping[str, str], exif: bytes | None = None) -> bytes:
    """A PIL picture as a PNG; each text becomes a tEXt chunk, or an iTXt chunk if it is not Latin-1."""
    chunks = PngImagePlugin.PngInfo()
    for keyword, value in text.items():
        chunks.add_text(keyword, value)
    buffer = io.BytesIO()
    options = {} if exif is None else {"exif": exif}
    picture.save(buffer, "PNG", pnginfo=chunks, compress_level=_COMPRESS_LEVEL, **options)
    return buffer.getvalue()


def _exif(documents: Mapping[str, Settings]) -> bytes | None:
    known = {name: documents[name] for name in (GRAPH, SETTINGS, EDITOR) if name in documents}
    if not known:
        return None
    texts = as_text(known)
    return exif_data(known.get(SETTINGS), texts.get(GRAPH), texts.get(EDITOR))
