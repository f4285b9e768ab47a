"""The parameters of sampling and decoding that settings record, read off the nodes that declare them.

A new parameter of such a node is recorded, read back and given to the node again without being named anywhere
else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from run_graph.graph.declaration import InputSpec, parameters_of
from run_graph.graph.registry import installed_nodes
from run_graph.runtime.formats.mflux.errors import CommandError

SAMPLING, DECODING = "FluxSample", "DecodeLatent"
SEED = "seed"  # kept apart: one command line may name several

# Steps, guidance and sides are mflux's flags of the same names, tile_size is --vae-tile-size, and several
# seeds take the place of a batch.
_MFLUX_FLAGS = ("steps", "guidance", "width", "height", "tile_size", "batch_size")

_KINDS: dict[str, tuple[type, ...]] = {
    "INT": (int,),
    "FLOAT": (int, float),
    "STRING": (str,),
    "COMBO": (str,),
    "BOOLEAN": (bool,),
}


@cache
def recorded_parameters() -> Mapping[str, InputSpec]:
    """All of them by name, without the seed."""
    found = {**_declared(SAMPLING), **_declared(DECODING)}
    del found[SEED]
    return found


def flag_parameters() -> dict[str, InputSpec]:
    """Those that get a flag of their own: mflux's command line has none that means the same."""
    return {name: spec for name, spec in recorded_parameters().items() if name not in _MFLUX_FLAGS}


def parameters_for(class_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of these values that a node of this class takes."""
    return {name: value for name, value in values.items() if name in _declared(class_type)}


def read_parameters(document: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a picture's settings hold.

    Ranges are left to validation, which names the node.

    Raises
    ------
    CommandError
        If a value is not of the parameter's type, or not one of its options; names the key.
    """
    return {
        name: _checked(name, document[name], spec)
        for name, spec in recorded_parameters().items()
        if document.get(name) is not None
    }


def _checked(name: str, value: Any, spec: InputSpec) -> Any:
    kinds = _KINDS[spec.socket]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise CommandError(f"the recorded {name} is {value!r}, which is not {_article(spec.socket)}")
    if spec.options and value not in spec.options:
        options = ", ".join(map(str, spec.options))
        raise CommandError(f"the recorded {name} is {value!r}, which run-graph does not have ({options})")
    return float(value) if isinstance(value, int) and spec.socket == "FLOAT" else value


def _article(socket: str) -> str:
    return f"an {socket}" if socket[0] in "AEIOU" else f"a {socket}"


@cache
def _declared(class_type: str) -> Mapping[str, InputSpec]:
    return parameters_of(installed_nodes()[class_type])
