"""Which node classes choose models, and which adapt them, as their sockets show."""

from __future__ import annotations

from functools import cache

from run_graph.graph.declaration import inputs_of, outputs_of
from run_graph.graph.node import Node
from run_graph.runtime.models.handles import Flux, Redux, Siglip, TextEncoders, Vae

MODEL_SOCKETS = frozenset(kind.socket_type for kind in (Flux, Redux, Siglip, TextEncoders, Vae))


@cache
def model_inputs(node_class: type[Node]) -> tuple[str, ...]:
    """The inputs that name a model, or a file that changes one; none if the node does not return models."""
    if not {output.socket for output in outputs_of(node_class)} <= MODEL_SOCKETS:
        return ()
    specs = inputs_of(node_class).values()
    return tuple(spec.name for spec in specs if spec.socket == "STRING" and not spec.options)


@cache
def is_loader(node_class: type[Node]) -> bool:
    """Whether a node makes models from names alone."""
    takes_links = any(spec.link_only for spec in inputs_of(node_class).values())
    return bool(model_inputs(node_class)) and not takes_links


@cache
def is_adapter(node_class: type[Node]) -> bool:
    """Whether a node returns the models that it gets, changed by a file, such as a LoRA."""
    return bool(model_inputs(node_class)) and node_class.forwards_models
