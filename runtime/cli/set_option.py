"""``--set node.input=value``: inputs of a workflow replaced from the command line."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from run_graph.graph.declaration import InputSpec
from run_graph.graph.faults import WorkflowError
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.place import find_place, split_setting
from run_graph.runtime.cli.text_file import literal, names_file, read_text
from run_graph.runtime.formats.source import Source

_OPTION = "--set"
_RANDOM = "random"
# Short enough for a file name, and exact in JavaScript, which ComfyUI's editor is written in.
_MOST_RANDOM_SEEDS = 2**32


@dataclass(frozen=True)
class Applied:
    """A workflow with settings applied; ``chosen`` has the seeds that were chosen at random, by place."""

    workflow: Workflow
    chosen: Mapping[str, int]


def apply_settings(source: Source, settings: Iterable[str], registry: Registry) -> Applied:
    """The workflow with inputs replaced.

    The type of the input decides how a value is read: text as it is, everything else as JSON (a link is
    ``["id",0]``). ``@FILE`` is the text in a file without the line breaks at its end, ``@@text`` the text
    ``@text``. ``random`` is a random number where the input is a seed. The file of an image input is looked
    for in the working directory first, because the name was typed there.

    Raises
    ------
    WorkflowError
        With every setting whose node or input does not exist, or whose file cannot be read.
    """
    workflow = source.workflow
    chosen: dict[str, int] = {}
    errors: list[WorkflowError] = []
    for setting in settings:
        where = f"{_OPTION} {setting!r}"
        try:
            typed, text = split_setting(_OPTION, setting)
            place = find_place(workflow, registry, typed, where)
            value = read_setting(text, place.spec, source, where)
            chosen.pop(str(place), None)
            if is_random(text, place.spec):
                chosen[str(place)] = value
            workflow = workflow.with_input(place.node_id, place.input, value)
        except WorkflowError as error:
            errors.append(error)
    if errors:
        raise WorkflowError([fault for error in errors for fault in error.faults])
    return Applied(workflow, chosen)


def read_setting(text: str, spec: InputSpec | None, source: Source, where: str) -> Any:
    """The value of a setting: see :func:`apply_settings`. Messages begin with ``where``."""
    if names_file(text):
        return read_value(read_text(text[1:], where).rstrip("\n"), spec, source)
    return read_value(literal(text), spec, source)


def read_value(text: str, spec: InputSpec | None, source: Source) -> Any:
    """A value, read according to the type of its input."""
    if spec is not None and spec.socket == "STRING":
        return file_from_here(text, source) if takes_picture(spec) else text
    if is_random(text, spec):
        return _random_seed(spec)
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if spec is not None and text in spec.options and value not in spec.options else value


def takes_picture(spec: InputSpec | None) -> bool:
    """Whether the value of an input is the path of a picture."""
    return spec is not None and bool(spec.hints.get("image_upload"))


def is_random(text: str, spec: InputSpec | None) -> bool:
    """Whether a value stands for a random seed."""
    return text == _RANDOM and spec is not None and takes_random(spec)


def takes_random(spec: InputSpec) -> bool:
    """Whether an input is a seed, which may be chosen at random."""
    return bool(spec.hints.get("control_after_generate"))


def _random_seed(spec: InputSpec | None) -> int:
    low = int(spec.minimum or 0) if spec is not None else 0
    high = spec.maximum if spec is not None else None
    last = low + _MOST_RANDOM_SEEDS - 1
    return random.SystemRandom().randint(low, last if high is None else min(last, int(high)))


def file_from_here(name: str, source: Source) -> str:
    """The name; absolute if a file next to the workflow would hide the one in the working directory."""
    here = Path(name)
    hidden_by = next((folder / name for folder in source.folders if (folder / name).is_file()), None)
    if not here.is_absolute() and here.is_file() and hidden_by is not None and not here.samefile(hidden_by):
        return os.path.abspath(here)
    return name
