"""Running one node on given values, without a plan, an executor or a session.

An executor calls these functions for every node. Another process can call them too, since all that has to
travel can be pickled:

- to the worker: a :class:`runtime.engine.plan.Step` and its values, a dict of the linked inputs by name.
  What the node does to them does not reach the dict's values (:mod:`runtime.handing_out`);
- back: the node's :class:`graph.Outputs`, or the :class:`runtime.errors.NodeFailed` that it raised; and the
  digests of the files that it read, for :func:`runtime.engine.what_was_read.read_as_planned`.

A step holds its node and the ids of what it reads, so its size does not grow with the graph. Values are
plain JSON values, dataclasses of numpy or MLX arrays (:mod:`runtime.values`), and model handles, which name a
model but hold no weights.

The context does not travel, because it holds the session's services, cache and listener. The worker builds
its own (:class:`graph.Context`). Events can be pickled too, but lose the weak reference to the outputs, so an
executor makes those of the last three functions itself when a result arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import ref

from pydantic import ValidationError

from run_graph.graph.context import Context
from run_graph.graph.declaration import inputs_of, outputs_class, value_inputs_of, value_outputs_of
from run_graph.graph.faults import suggestion
from run_graph.graph.literal_faults import literal_faults
from run_graph.graph.node import Node, Outputs, validated
from run_graph.graph.registry import Registry
from run_graph.graph.sockets import SocketValue
from run_graph.graph.third_party import described
from run_graph.runtime.engine.plan import Step
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.events import NodeErred, NodeFinished, NodeReused, plain_values
from run_graph.runtime.handing_out import for_reader

Values = Mapping[str, Any]


def run_node(node: Node, values: Values, context: Context) -> Outputs:
    """Run a node.

    Parameters
    ----------
    node : Node
        As a step holds it: its linked inputs hold links.
    values : mapping
        The values of the linked inputs by name; lazy inputs that were not asked for may be missing.
    context : Context

    Raises
    ------
    ValueError
        If a value does not fit its input, or an output breaks its socket's promise.
    TypeError
        If ``run`` returns something other than its annotation says.
    Exception
        Whatever the node raises; :func:`failure_of` wraps it.
    """
    node_class = type(node)
    if values:
        # Validated again: a parameter fed by a link must be in its range, a socket's value of its class.
        try:
            node = validated(node_class, node.__dict__ | _handed_out(node_class, values))
        except ValidationError as error:
            if empty := _given_nothing(error, values):
                raise ValueError(
                    f"nothing came through the link of {empty}: the node before had nothing to make it from. "
                    "Link that node's own input too, or link another output here"
                ) from None
            faults = literal_faults(error, node_class, Registry())
            raise ValueError("; ".join(str(fault) for fault in faults)) from None
    outputs = node.run(context)
    expected = outputs_class(node_class)
    if not isinstance(outputs, expected):
        raise TypeError(f"run returned {type(outputs).__name__}, not {expected.__name__}")
    for name in value_outputs_of(node_class):
        if name in outputs.__dict__:  # a forwarded output is not
            outputs.__dict__[name] = _sealed(name, outputs.__dict__[name])
    return outputs


def _sealed(name: str, value: Any) -> Any:
    """An output as it is shared from now on; checked here, so that the fault is its maker's."""
    if not isinstance(value, SocketValue):
        return for_reader(value)  # the node may keep a list that it returned, and change it
    try:
        value.seal()
    except ValueError as error:
        raise ValueError(f"output {name!r} is not a valid {value.socket_type}: {error}") from None
    return value


def _given_nothing(error: ValidationError, values: Values) -> str:
    """The inputs that need a value, but got None through a link; empty if another thing is wrong."""
    wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
    return ", ".join(repr(name) for name in values if name in wrong and values[name] is None)


def _handed_out(node_class: type[Node], values: Values) -> dict[str, Any]:
    handed = dict(values)
    for name in value_inputs_of(node_class):
        if name in handed:
            handed[name] = for_reader(handed[name])
    return handed


def lazy_inputs_needed(step: Step, values: Values) -> list[str]:
    """The lazy inputs that the node asks for and ``values`` lacks; empty once the node can run.

    Raises
    ------
    TypeError, ValueError
        If :meth:`graph.Node.required_lazy_inputs` returns something other than names of inputs.
    """
    node, lazy = step.node, step.lazy
    if lazy.keys() <= values.keys():
        return []
    asked = node.model_copy(update=_handed_out(type(node), values)).required_lazy_inputs()
    if isinstance(asked, str):
        raise TypeError(f"required_lazy_inputs must return a collection of input names, not {asked!r}")
    asked, names = tuple(asked), inputs_of(type(node))
    for name in asked:
        if name not in names:
            advice = suggestion(name, names, f"Inputs are {', '.join(names)}.")
            raise ValueError(f"required_lazy_inputs named {name!r}, which is not an input. {advice}")
    return [name for name in asked if name in lazy and name not in values]


def failure_of(step: Step, values: Values, raised: BaseException) -> NodeFailed:
    """What a node raised, as a failure that names the node and its inputs.

    A node that calls ``sys.exit`` fails like any other: it must not end the process that runs it.
    """
    error = raised if isinstance(raised, Exception) else RuntimeError(described(raised))
    return NodeFailed(step.node_id, step.node.class_type, {**step.node.__dict__, **values}, error)


def node_erred(failure: NodeFailed) -> NodeErred:
    """The event that reports a failure."""
    return NodeErred(failure.node_id, failure.class_type, failure.error, failure.reason)


def node_finished(step: Step, outputs: Outputs, seconds: float) -> NodeFinished:
    """The event that reports a result which took this many seconds."""
    node_id, class_type = step.node_id, step.node.class_type
    return NodeFinished(node_id, class_type, seconds, plain_values(outputs), ref(outputs), step.key)


def node_reused(node_id: str, class_type: str, origin: str, outputs: Outputs, key: str = "") -> NodeReused:
    """The event that reports a result which was known; see :class:`runtime.events.NodeReused`."""
    return NodeReused(node_id, class_type, origin, plain_values(outputs), ref(outputs), key)
