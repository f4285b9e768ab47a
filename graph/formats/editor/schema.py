"""What the editor must know of a node class to read its widgets: their order, defaults and extra slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

from run_graph.graph.declaration import InputSpec, inputs_of
from run_graph.graph.formats.renamed_classes import RENAMED
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry

WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR"})
"""Types of inputs that the editor shows as a widget; all others are sockets."""

NO_DEFAULT = object()
"""The default of an input that the editor has no value for, such as the name of a file."""

_EMPTY: Mapping[str, Any] = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}
# Names of inputs that get a control widget although nothing in their declaration says so.
_SEEDS = {"seed", "noise_seed"}


@dataclass(frozen=True, slots=True)
class EditorInput:
    """An input of a node class, as the editor sees it.

    Attributes
    ----------
    name, type : str
    is_widget : bool
        Whether it has a widget; else it is a socket only.
    default : object
        The widget's value if a file has none; :data:`NO_DEFAULT` if there is none.
    options : tuple
        The choices of a COMBO, as far as they are known.
    extra_slots : int
        How many more values a file has behind this one: what happens to a seed after a run, and a filter.
    was_widget : bool
        Whether it was a widget in older versions, and is a socket now (``forceInput``).
    is_dynamic : bool
        Whether the editor strips comments from the text and picks one of ``{a|b}``.
    is_multiline : bool
        Whether its widget is a text of several lines.
    has_button : bool
        Whether it has a button for uploading a picture, which has a slot of its own in group nodes.
    minimum, step : number
        The values of a number are the minimum and so many steps; 0: no steps.
    """

    name: str
    type: str
    is_widget: bool
    default: Any = NO_DEFAULT
    options: tuple[Any, ...] = ()
    extra_slots: int = 0
    was_widget: bool = False
    is_dynamic: bool = False
    is_multiline: bool = False
    has_button: bool = False
    minimum: float = 0
    step: float = 0

    def stepped(self, value: Any) -> Any:
        """A value as it is after the editor has put it into the widget: whole numbers go in steps."""
        if self.type != "INT" or self.step <= 1 or not isinstance(value, int) or isinstance(value, bool):
            return value
        step = int(self.step)
        first = int(self.minimum) % step
        return (2 * (value - first) + step) // (2 * step) * step + first


class EditorSchemas(Protocol):
    """Where the converter looks node classes up."""

    def inputs(self, class_type: str) -> Mapping[str, EditorInput] | None:
        """The inputs of a class by name, in the order of their declaration; None if it is not known."""

    def added(self, class_type: str) -> Sequence[str]:
        """The inputs that ComfyUI's class of this name does not have; our server's editor shows them last."""


class RegistrySchemas:
    """The node classes of a registry, under their old names too."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def inputs(self, class_type: str) -> Mapping[str, EditorInput] | None:
        if class_type in self._registry:
            return editor_inputs_of(self._registry[class_type])
        new = RENAMED.get(class_type)
        if new is None or new.name not in self._registry:
            return None
        inputs = editor_inputs_of(self._registry[new.name])
        names = new.inputs or {name: name for name in inputs}
        return {old: replace(inputs[now], name=old) for old, now in names.items() if now in inputs}

    def added(self, class_type: str) -> Sequence[str]:
        node_class = self._registry.get(class_type)
        specs = inputs_of(node_class) if node_class else {}
        return [name for name, spec in specs.items() if spec.is_added and not spec.link_only]


@cache
def editor_inputs_of(node_class: type[Node]) -> Mapping[str, EditorInput]:
    """ComfyUI's inputs of a node class; those that only run-graph has are left out."""
    return {
        name: editor_input(
            name, spec.socket, _hints(spec), NO_DEFAULT if spec.required else spec.default, spec.options
        )
        for name, spec in inputs_of(node_class).items()
        if not spec.is_added
    }


def _hints(spec: InputSpec) -> Mapping[str, Any]:
    """What the declaration of an input says to user interfaces."""
    hints = {"min": spec.minimum or 0, "step": spec.multiple_of or 0, **spec.hints}
    return {**hints, "forceInput": True} if spec.link_only else hints


def editor_input(
    name: str, socket: str, hints: Mapping[str, Any], default: Any, options: tuple[Any, ...]
) -> EditorInput:
    """An input, from its type and from what its declaration says to user interfaces, in ComfyUI's words."""
    shows_widget = socket in WIDGET_TYPES
    is_widget = shows_widget and not hints.get("forceInput")
    return EditorInput(
        name,
        socket,
        is_widget,
        _default(socket, default, options, hints),
        options,
        _extra_slots(name, socket, hints.get("control_after_generate")),
        was_widget=shows_widget and not is_widget,
        is_dynamic=socket == "STRING" and bool(hints.get("dynamicPrompts")),
        is_multiline=socket == "STRING" and bool(hints.get("multiline")),
        has_button=bool(hints.get("image_upload")),
        minimum=hints.get("min") or 0,
        step=hints.get("step") or 0,
    )


def _default(socket: str, default: Any, options: tuple[Any, ...], hints: Mapping[str, Any]) -> Any:
    if default is not NO_DEFAULT:
        return default
    if options:
        return options[0]
    if socket == "STRING" and "multiline" not in hints:
        return NO_DEFAULT  # the name of a file, which the editor would offer a choice of
    return _EMPTY.get(socket, NO_DEFAULT)


def _extra_slots(name: str, socket: str, control: Any) -> int:
    if socket == "INT" and (name in _SEEDS if control is None else control):
        return 1
    return 2 if socket == "COMBO" and control else 0
