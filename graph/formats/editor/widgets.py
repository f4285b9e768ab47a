"""The values of a node's widgets, from the list in which the editor keeps them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from run_graph.graph.formats.editor.document import EditorNode
from run_graph.graph.formats.editor.schema import NO_DEFAULT, EditorInput

UNKNOWN = "UNKNOWN"
"""What the value of a widget without a known name is called, as in ComfyUI; the next is ``UNKNOWN_1``."""

_CONTROLS = {"fixed", "increment", "decrement", "randomize", "increment-wrap"}
_SAMPLERS = {"KSampler", "KSamplerAdvanced"}  # very old files call their samplers "sample_euler"
_UPLOAD = "image"  # the value of the upload button, which old files have after the name of the picture


def widget_values(node: EditorNode, inputs: Mapping[str, EditorInput] | None) -> dict[str, Any]:
    """The values of a node's widgets by name.

    Parameters
    ----------
    node : EditorNode
    inputs : mapping, optional
        The inputs of its class; None if the class is not known. Then names come from the file, as far as it
        has them, and other values are called ``UNKNOWN``.

    Returns
    -------
    dict
        Without the widgets for which neither the file nor the class has a value, or whose value is none.
    """
    if inputs is None:
        return _values_of_unknown_class(node)
    widgets = [each for each in inputs.values() if each.is_widget]
    given = _by_name(node, widgets, inputs.values())
    values = {each.name: _filled(each, given) for each in widgets}
    if node.type in _SAMPLERS and isinstance(name := values.get("sampler_name"), str):
        values["sampler_name"] = name.removeprefix("sample_")
    return {name: value for name, value in values.items() if value is not NO_DEFAULT and value is not None}


def missing_widgets(node: EditorNode, inputs: Mapping[str, EditorInput]) -> list[str]:
    """The names of the widgets that the file has no value for."""
    widgets = [each for each in inputs.values() if each.is_widget]
    given = _by_name(node, widgets, inputs.values())
    return [each.name for each in widgets if _is_missing(given.get(each.name))]


def _by_name(
    node: EditorNode, widgets: Sequence[EditorInput], inputs: Iterable[EditorInput]
) -> Mapping[str, Any]:
    """The saved values by name. The editor itself goes by position, even where names say something else."""
    named = node.values if isinstance(node.values, Mapping) else node.named or {}
    if isinstance(node.values, list):
        by_name = ((each.name, each) for each in widgets)
        return {**named, **by_position(_realigned(node.values, inputs), by_name)}
    return named


def by_position(values: Sequence[Any], widgets: Iterable[tuple[str, EditorInput]]) -> dict[str, Any]:
    """Names for the values of these named widgets, in order; each may have extra slots behind it."""
    given: dict[str, Any] = {}
    index = 0
    for name, each in widgets:
        if index >= len(values):
            break
        given[name] = values[index]
        index += 1 + each.extra_slots
    return given


def _realigned(values: Sequence[Any], inputs: Iterable[EditorInput]) -> Sequence[Any]:
    """The values without those of inputs that have no widget any more, if the file still has them.

    It has them if their number is that of the widgets and those inputs together: the editor's own rule.
    """
    is_gone = [
        gone
        for each in inputs
        if each.is_widget or each.was_widget
        for gone in (each.was_widget, *[False] * each.extra_slots)
    ]
    if not any(is_gone) or len(is_gone) != len(values):
        return values
    return [value for value, gone in zip(values, is_gone, strict=True) if not gone]


def _filled(widget: EditorInput, given: Mapping[str, Any]) -> Any:
    value = given.get(widget.name)
    if not _is_missing(value):
        return value
    return widget.options[0] if widget.options and widget.name in given else widget.default


def _is_missing(value: Any) -> bool:
    """Whether there is no value; the editor reads NaN and infinity as none."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _values_of_unknown_class(node: EditorNode) -> dict[str, Any]:
    for given in (node.named, node.values):
        if isinstance(given, Mapping):
            return {str(name): value for name, value in given.items()}
    values = list(node.values or ())
    names = [slot.widget for slot in node.inputs if slot.widget is not None]
    matched = _matched(values, names)
    if matched is not None:
        return matched
    return {f"{UNKNOWN}_{index}" if index else UNKNOWN: value for index, value in enumerate(values)}


def _matched(values: Sequence[Any], names: Sequence[str]) -> dict[str, Any] | None:
    """The values by the names of the inputs that have widgets; None if they are not all of the widgets."""
    given: dict[str, Any] = {}
    rest = list(reversed(values))
    for name in names:
        if not rest:
            return None
        value = given[name] = rest.pop()
        if rest and _is_extra(rest[-1], value, is_last=len(rest) == 1):
            rest.pop()
    return given if not rest else None


def _is_extra(value: Any, before: Any, *, is_last: bool) -> bool:
    """Whether a value belongs to what happens to a seed after a run, or to the button for uploading."""
    if not isinstance(value, str):
        return False
    return (isinstance(before, int) and value in _CONTROLS) or (
        is_last and value == _UPLOAD and isinstance(before, str)
    )
