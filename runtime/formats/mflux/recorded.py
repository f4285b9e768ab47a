"""Settings out of files: mflux's sidecars and EXIF comments, the branch's, and run-graph's own.

Keys are those of mflux's ``GeneratedImage`` (0.10 and 0.24). What only mflux's other commands record
(an initial picture, a mask, a control net, ...) is refused by name, because the picture would come out
different.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from run_graph.runtime.files.recorded_names import recorded_folder
from run_graph.runtime.files.regular import NotRegularError, open_regular
from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.formats.mflux.models import base_of, canonical
from run_graph.runtime.formats.mflux.parameters import read_parameters, recorded_parameters
from run_graph.runtime.formats.mflux.settings import PerPicture, Quantize, Settings
from run_graph.runtime.images.formats import PICTURE_SUFFIXES
from run_graph.runtime.images.metadata import NOT_IN_SETTINGS, WARNINGS

_OTHER_VARIANTS = {
    "image_path": "an initial picture (image-to-image)",
    "image_paths": "initial pictures (editing)",
    "controlnet_image_path": "a ControlNet",
    "masked_image_path": "a mask (fill)",
    "depth_image_path": "a depth map",
    "negative_prompt": "a negative prompt",
    "pid_decode": "another decoder (PiD)",
    "step_cache_ratio": "skipped steps (--step-cache-ratio)",
    "compute_precision": "another precision (--compute-precision)",
}
# What null means for a picture whose token grid was not reduced, as run-graph records it.
_UNREDUCED = {"redux_mode": "highest", "interpolation_mode": "area"}
_LINEAR = (None, "linear", "LinearScheduler")
_RUN_GRAPH = "run its workflow file, or the PNG that carries the graph (run-graph FILE.png)"
_OWN_KEY = "versions"  # Only run-graph's metadata has it.
# What run-graph records that is read here, or only informs.
_OWN_KEYS = {
    "prompt", "seed", "model", "base_model", "quantize", "lora_paths", "lora_scales",
    "redux_model", "redux_quantize", "redux_mode", "interpolation_mode", "redux_fit", "redux_resample",
    "redux_background", "redux_frames",
    "redux_image_paths", "redux_image_strengths", "redux_tokens",
    _OWN_KEY, "seconds", "input_directories", NOT_IN_SETTINGS, WARNINGS,
}  # fmt: skip
_KINDS = {str: "text", int: "a whole number"}
_PATH_CALL = re.compile(r"""\b(?:Posix|Windows)?Path\(('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)""")


@dataclass(frozen=True)
class Recorded:
    """Settings from a file, and the folders to search for the pictures that they name, in order.

    ``picture`` is the file if it is a picture; it may be a stranger's.
    """

    settings: Settings
    folders: tuple[Path, ...] = ()
    picture: Path | None = None

    def name(self, value: Any) -> bool:
        """Whether the settings name this picture, LoRA or model."""
        own = self.settings
        names = (*(own.redux_image_paths or ()), *(own.lora_paths or ()), own.model, own.redux_model)
        return value is not None and value in names


def read_recorded(path: Path) -> Recorded:
    """The settings in a JSON sidecar or in a picture.

    Raises
    ------
    CommandError
        If the file cannot be read or holds no settings, or the picture was made in a way that run-graph
        does not have.
    """
    path = path.expanduser()
    _refuse_pipes(path)
    is_picture = path.suffix.lower() in PICTURE_SUFFIXES
    document = _from_picture(path) if is_picture else _from_sidecar(path)
    try:
        folders = (*folders_of(document, path.parent), path.parent)
        return Recorded(settings_from(document), folders, path if is_picture else None)
    except CommandError as error:
        raise CommandError(f"{path}: {error}") from None


def folders_of(document: Mapping[str, Any], start: Path) -> list[Path]:
    """Where run-graph looked for the pictures, recorded relative to the file's own folder."""
    folders = document.get("input_directories")
    if not isinstance(folders, list):
        return []
    return [recorded_folder(folder, start) for folder in folders if isinstance(folder, str)]


def settings_from(document: Mapping[str, Any]) -> Settings:
    """The settings in mflux's or run-graph's metadata.

    A Redux picture without a recorded mode is mflux's plain Redux, which is mode `highest`.

    Raises
    ------
    CommandError
        If it was made in a way that run-graph does not have, or a value has the wrong type; names the key.
    """
    _refuse_what_settings_cannot_express(document)
    _refuse_other_variants(document)
    paths = _paths(document.get("redux_image_paths"))
    modes = _per_picture(document, "redux_mode")
    return Settings(
        prompt=_typed(document, "prompt", str),
        model=_model(document),
        base_model=_base_model(document),
        quantize=_typed(document, "quantize", int),
        seeds=None if (seed := _typed(document, "seed", int)) is None else (seed,),
        parameters=read_parameters(document),
        redux_model=_redux_model(document),
        redux_quantize=_redux_quantize(document),
        redux_image_paths=paths,
        redux_image_strengths=_numbers(document, "redux_image_strengths"),
        redux_mode=("highest" if modes is None else modes) if paths else None,
        interpolation_mode=_per_picture(document, "interpolation_mode"),
        redux_fit=_per_picture(document, "redux_fit"),
        redux_resample=_per_picture(document, "redux_resample"),
        redux_background=_per_picture(document, "redux_background"),
        redux_frames=_per_picture(document, "redux_frames"),
        lora_paths=_paths(document.get("lora_paths")),
        lora_scales=_numbers(document, "lora_scales"),
    )


def _refuse_pipes(path: Path) -> None:
    """A missing file is explained by whoever reads it."""
    try:
        open_regular(path).close()
    except NotRegularError as error:
        raise CommandError(f"{error}; give a sidecar or a picture") from error
    except OSError:
        pass


def _from_sidecar(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise CommandError(f"{path} is not JSON ({error}); give a sidecar or a picture") from error
    if not isinstance(document, dict) or "seed" not in document:
        raise CommandError(f"{path} holds no settings of a picture; run-graph FILE.json runs a workflow")
    return document


def _from_picture(path: Path) -> dict[str, Any]:
    from run_graph.runtime.images.exif import read_mflux_comment
    from run_graph.runtime.images.reading import ImageError

    try:
        comment = read_mflux_comment(path)
    except ImageError as error:
        raise CommandError(str(error)) from error
    if comment is None:
        raise CommandError(f"{path} carries no settings; give one saved with them by mflux or run-graph")
    return comment


def _refuse_what_settings_cannot_express(document: Mapping[str, Any]) -> None:
    if differences := document.get(NOT_IN_SETTINGS):
        raise CommandError(
            f"the picture was made with what settings cannot express: {'; '.join(map(str, differences))}",
            _RUN_GRAPH,
        )
    unknown = set(document) - _OWN_KEYS - set(recorded_parameters()) if _OWN_KEY in document else ()
    if unknown:
        raise CommandError(
            f"the picture's settings hold {', '.join(sorted(unknown))}, which this version does not know",
            "use the version of run-graph that made it, or run its graph",
        )


def _refuse_other_variants(document: Mapping[str, Any]) -> None:
    for key, meaning in _OTHER_VARIANTS.items():
        if document.get(key):
            raise CommandError(f"the picture was made with {meaning} ({key}), which run-graph does not do")
    if document.get("scheduler") not in _LINEAR:
        raise CommandError(f"the picture was made with the scheduler {document['scheduler']!r}, not 'linear'")
    if _OWN_KEY in document or not document.get("model"):
        return
    if not any(base_of(str(document.get(key))) for key in ("model", "base_model")):
        raise CommandError(f"the picture was made with {document['model']}, and run-graph draws with FLUX.1")


def _model(document: Mapping[str, Any]) -> str | None:
    """The weights' source where mflux 0.24 recorded one, else the model's name."""
    name = _typed(document, "model_path", str) or _typed(document, "model", str)
    return None if name is None else canonical(name)


def _base_model(document: Mapping[str, Any]) -> str | None:
    """mflux 0.24 records the resolved entry beside a weights' source; older versions the string "None"."""
    base = _typed(document, "base_model", str)
    if base in (None, "None") and document.get("model_path"):
        base = _typed(document, "model", str)
    return None if base in (None, "None") else base_of(str(base))


def _redux_model(document: Mapping[str, Any]) -> str | None:
    """Only run-graph records it."""
    name = document.get("redux_model")
    if isinstance(name, list):
        raise CommandError("the picture was made with several Redux models (redux_model)", _RUN_GRAPH)
    return None if name is None else _text(name, "redux_model")


def _redux_quantize(document: Mapping[str, Any]) -> Quantize | None:
    """Only run-graph records it: bits, or "none"."""
    bits = document.get("redux_quantize")
    if isinstance(bits, list):
        raise CommandError(
            "the picture was made with Redux at several precisions (redux_quantize)", _RUN_GRAPH
        )
    if bits is not None and bits != "none" and not (isinstance(bits, int) and not isinstance(bits, bool)):
        raise CommandError(f"the recorded redux_quantize is {bits!r}, which is neither bits nor 'none'")
    return bits


def _paths(value: Any) -> tuple[str, ...] | None:
    """A list of paths; mflux 0.10 recorded the text of a Python list."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(_PATH_CALL.sub(r"\1", value))
        except (ValueError, SyntaxError):
            raise CommandError(
                f"the recorded paths {value!r} are not a list; name the files on the command line"
            ) from None
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not all(isinstance(path, str) for path in value):
        raise CommandError(
            f"the recorded paths {value!r} are not a list of names; name the files on the command line"
        )
    return tuple(value)


def _per_picture(document: Mapping[str, Any], key: str) -> PerPicture | None:
    value = document.get(key)
    if isinstance(value, list):
        return tuple(_UNREDUCED.get(key) if each is None else _text(each, key) for each in value)
    return None if value is None else _text(value, key)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise CommandError(f"the recorded {key} is {value!r}, which is not text")
    return value


def _numbers(document: Mapping[str, Any], key: str) -> tuple[float, ...] | None:
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, Sequence) or not all(_is_number(number) for number in value):
        raise CommandError(f"the recorded {key} is {value!r}, which is not a list of numbers")
    return tuple(float(number) for number in value)


def _typed(document: Mapping[str, Any], key: str, kind: type) -> Any:
    value = document.get(key)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise CommandError(f"the recorded {key} is {value!r}, which is not {_KINDS[kind]}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
