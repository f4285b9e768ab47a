"""What a drawing of any format shows of a workflow: nodes with their sockets, and connections.

A workflow is often drawn *because* something is wrong with it, so any workflow can be drawn: a node of an
unknown class gets the sockets that links refer to, a link to a missing node leads to a placeholder, and
cycles are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from run_graph.graph.declaration import InputSpec, inputs_of, outputs_of
from run_graph.graph.draw.measure import plain, value_text
from run_graph.graph.links import Link
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry
from run_graph.graph.sockets import ANY
from run_graph.graph.workflow import NodeSpec, Workflow

UNKNOWN_CLASS = "unknown class"
NO_SUCH_NODE = "no such node"


@dataclass(frozen=True, slots=True)
class Port:
    """A socket as it is drawn.

    Attributes
    ----------
    linked : bool
        True if a link starts or ends here.
    required : bool
        True for an input that must be linked.
    known : bool
        False if the node's class declares no such socket.
    """

    name: str
    socket: str
    linked: bool
    required: bool = False
    known: bool = True


@dataclass(frozen=True, slots=True)
class DiagramNode:
    """A node as it is drawn; all text is printable and on one line.

    Attributes
    ----------
    title : str
        The title in the workflow, or else the class.
    problem : str
        ``UNKNOWN_CLASS``, ``NO_SUCH_NODE`` or "".
    parameters : tuple of (name, value)
        The literals written in the workflow.
    """

    node_id: str
    title: str
    class_type: str
    category: str
    problem: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Connection:
    """A link, from a position in the ``outputs`` of a node to a position in the ``inputs`` of another."""

    source: str
    output: int
    target: str
    input: int
    socket: str


@dataclass(frozen=True, slots=True)
class Diagram:
    """Nodes by their id in the workflow, in the file's order, and all connections."""

    nodes: Mapping[str, DiagramNode]
    connections: tuple[Connection, ...]


def diagram_of(workflow: Workflow, registry: Registry) -> Diagram:
    """The diagram of a workflow; never raises because of a fault in it."""
    wanted = _wanted_outputs(workflow, registry)
    ids = dict.fromkeys([*workflow.nodes, *wanted])
    outputs = {
        node_id: _outputs(_class_of(node_id, workflow, registry), wanted.get(node_id, {})) for node_id in ids
    }
    nodes: dict[str, DiagramNode] = {}
    connections: list[Connection] = []
    for node_id in ids:
        spec = workflow.nodes.get(node_id)
        node_class = _class_of(node_id, workflow, registry)
        inputs = _inputs(spec, node_class)
        nodes[node_id] = _node(node_id, spec, node_class, tuple(inputs.values()), outputs[node_id][0])
        connections += _connections(node_id, spec, list(inputs), outputs)
    return Diagram(nodes, tuple(connections))


def _class_of(node_id: str, workflow: Workflow, registry: Registry) -> type[Node] | None:
    spec = workflow.nodes.get(node_id)
    return registry.get(spec.class_type) if spec is not None else None


def _wanted_outputs(workflow: Workflow, registry: Registry) -> dict[str, dict[int | str, str]]:
    """For each node that is linked to: the slots in the links, and the socket type that the input accepts."""
    wanted: dict[str, dict[int | str, str]] = {}
    for spec in workflow.nodes.values():
        node_class = registry.get(spec.class_type)
        specs: Mapping[str, InputSpec] = inputs_of(node_class) if node_class else {}
        for name, link in spec.links():
            accepted = specs[name].socket if name in specs else ANY
            wanted.setdefault(link.node_id, {}).setdefault(link.slot, accepted)
    return wanted


def _outputs(
    node_class: type[Node] | None, wanted: Mapping[int | str, str]
) -> tuple[tuple[Port, ...], dict[int | str, int]]:
    """The output ports of a node, and the position among them of each slot that a link can refer to."""
    declared = outputs_of(node_class) if node_class else ()
    place: dict[int | str, int] = {}
    for out in declared:
        place[out.slot] = place[out.name] = out.slot
    linked = {place[slot] for slot in wanted if slot in place}
    ports = [Port(plain(out.name), plain(out.socket), out.slot in linked) for out in declared]
    for slot, accepted in wanted.items():
        if slot not in place:
            place[slot] = len(ports)
            name = plain(slot) if isinstance(slot, str) else f"output {slot}"
            ports.append(Port(name, plain(accepted), linked=True, known=False))
    return tuple(ports), place


def _inputs(spec: NodeSpec | None, node_class: type[Node] | None) -> dict[str, Port]:
    """The inputs that are drawn as sockets: those that take only a link, and all that are linked."""
    if spec is None:
        return {}
    declared: Mapping[str, InputSpec] = inputs_of(node_class) if node_class else {}
    linked = dict(spec.links())
    ports = {
        name: Port(plain(name), plain(declared[name].socket), name in linked, declared[name].required)
        for name in declared
        if name in linked or (declared[name].link_only and spec.inputs.get(name) is None)
    }
    undeclared = {
        name: Port(plain(name), ANY, linked=True, known=False) for name in linked if name not in declared
    }
    return {**ports, **undeclared}


def _node(
    node_id: str,
    spec: NodeSpec | None,
    node_class: type[Node] | None,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
) -> DiagramNode:
    if spec is None:
        return DiagramNode(plain(node_id), plain(node_id), "", "", NO_SUCH_NODE, (), outputs, ())
    class_type = plain(spec.class_type)
    return DiagramNode(
        node_id=plain(node_id),
        title=plain(spec.title) if spec.title else class_type,
        class_type=class_type,
        category=node_class.category if node_class else "",
        problem="" if node_class else UNKNOWN_CLASS,
        inputs=inputs,
        outputs=outputs,
        parameters=tuple((plain(name), value_text(value)) for name, value in _literals(spec)),
    )


def _literals(spec: NodeSpec) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in spec.inputs.items() if not isinstance(value, Link)]


def _connections(
    node_id: str,
    spec: NodeSpec | None,
    names: list[str],
    outputs: Mapping[str, tuple[tuple[Port, ...], dict[int | str, int]]],
) -> list[Connection]:
    found = []
    for name, link in spec.links() if spec is not None else ():
        ports, place = outputs[link.node_id]
        output = place[link.slot]
        found.append(Connection(link.node_id, output, node_id, names.index(name), ports[output].socket))
    return found
