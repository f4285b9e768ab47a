"""How values are stored in files: safetensors for arrays, PNG for 8-bit pictures, JSON for the rest.

A picture whose colours are not multiples of 1/255, such as the autoencoder makes, is an array like any other,
since eight bits could not hold it exactly. A decoder may be given any bytes, and raises ValueError if it
cannot read them.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any

from run_graph.runtime.cache.serialization import HostArray, Serialized

JSON, PNG, SAFETENSORS = ".json", ".png", ".safetensors"
SUFFIXES = (JSON, PNG, SAFETENSORS)

_NOTE = "run_graph_value"
_PNG_END = b"IEND\xaeB`\x82"


def encode(serialized: Serialized) -> tuple[str, bytes]:
    """The file's suffix and its bytes."""
    if not serialized.arrays:
        return JSON, _note(serialized).encode()
    eight_bits = _eight_bits(serialized)
    return (
        (SAFETENSORS, _to_safetensors(serialized))
        if eight_bits is None
        else (PNG, _to_png(serialized, eight_bits))
    )


def decode(suffix: str, data: bytes) -> Serialized:
    """The inverse of `encode`. Raises ValueError."""
    decoder = {JSON: _from_json, PNG: _from_png, SAFETENSORS: _from_safetensors}[suffix]
    try:
        return decoder(data)
    except ValueError:
        raise
    except Exception as error:  # damaged bytes can make a decoder raise anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


def to_note(serialized: Serialized) -> dict[str, Any]:
    """All of a value but its arrays' numbers, as JSON."""
    arrays = {name: [array.library, array.dtype] for name, array in serialized.arrays.items()}
    return {"kind": serialized.kind, "plain": serialized.plain, "arrays": arrays}


def from_note(note: Mapping[str, Any], arrays: Mapping[str, Any]) -> Serialized:
    """The inverse of `to_note`, given the arrays by name. Raises KeyError, TypeError or ValueError."""
    labelled = {
        name: HostArray(library, dtype, arrays[name]) for name, (library, dtype) in note["arrays"].items()
    }
    return Serialized(note["kind"], note["plain"], labelled)


def _note(serialized: Serialized) -> str:
    return json.dumps(to_note(serialized))


def _described(note: str, arrays: dict[str, Any]) -> Serialized:
    return from_note(json.loads(note), arrays)


def _from_json(data: bytes) -> Serialized:
    return _described(data.decode(), {})


def _to_safetensors(serialized: Serialized) -> bytes:
    from safetensors.numpy import save

    return save({name: array.values for name, array in serialized.arrays.items()}, {_NOTE: _note(serialized)})


def _from_safetensors(data: bytes) -> Serialized:
    from safetensors.numpy import load

    [length] = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    return _described(header["__metadata__"][_NOTE], load(data))


def _eight_bits(serialized: Serialized) -> Any:
    """The one array, if it is a picture (1, H, W, 3) of multiples of 1/255, as 0..255; else None."""
    import numpy as np

    [array, *others] = serialized.arrays.values()
    values = array.values
    fits = not others and array.library == "numpy" and values.dtype == np.float32
    if not (fits and values.ndim == 4 and (values.shape[0], values.shape[3]) == (1, 3) and values.size):
        return None
    with np.errstate(invalid="ignore"):
        samples = np.rint(values * np.float32(255)).clip(0, 255).astype(np.uint8)
    # Compared bit by bit: -0.0 equals 0.0, but is not the same value.
    exact = np.array_equal(_from_eight_bits(samples).view(np.uint32), values.view(np.uint32))
    return samples if exact else None


def _from_eight_bits(samples: Any) -> Any:
    import numpy as np

    return samples.astype(np.float32) / np.float32(255)


def _to_png(serialized: Serialized, samples: Any) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    note, file = PngInfo(), io.BytesIO()
    note.add_itxt(_NOTE, _note(serialized), zip=True)
    Image.fromarray(samples[0]).save(file, "PNG", pnginfo=note, compress_level=1)
    return file.getvalue()


def _from_png(data: bytes) -> Serialized:
    import numpy as np
    from PIL import Image

    if not data.endswith(_PNG_END):  # Pillow does not check that
        raise ValueError("it is truncated")
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        picture.load()
        samples = np.asarray(picture)[None]
        note = picture.info[_NOTE]
    [name] = json.loads(note)["arrays"]
    return _described(str(note), {name: _from_eight_bits(samples)})
