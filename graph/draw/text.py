"""A workflow as text for a terminal: the nodes in an order in which they could run."""

from __future__ import annotations

from collections.abc import Iterator

from run_graph.graph.draw.diagram import Diagram, DiagramNode, diagram_of
from run_graph.graph.draw.layers import layer_numbers
from run_graph.graph.draw.measure import cut
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow

_LONGEST_VALUE = 72


def draw_text(workflow: Workflow, registry: Registry) -> str:
    """The workflow as text, one block for each node. Works for workflows with faults too.

    A block has the id, class and title of the node, a line for each input (``←`` for a link, ``=`` for a
    literal) and a line with the outputs. Links that close a cycle and missing links are marked.
    """
    diagram = diagram_of(workflow, registry)
    if not diagram.nodes:
        return "(no nodes)\n"
    layers = layer_numbers(diagram.nodes, ((link.source, link.target) for link in diagram.connections))
    feeds: dict[tuple[str, int], str] = {}
    for link in diagram.connections:
        remark = "  (closes a cycle)" if layers[link.source] >= layers[link.target] else ""
        feeds[link.target, link.input] = _origin(diagram, link.source, link.output) + remark
    blocks = []
    for node_id in sorted(diagram.nodes, key=lambda node_id: layers[node_id]):
        feeding = [feeds.get((node_id, place), "") for place in range(len(diagram.nodes[node_id].inputs))]
        blocks.append("\n".join(_block(diagram.nodes[node_id], feeding)))
    return "\n\n".join(blocks) + "\n"


def _origin(diagram: Diagram, source: str, output: int) -> str:
    node = diagram.nodes[source]
    problem = f"  ({node.problem})" if node.problem else ""
    port = node.outputs[output]
    missing = "" if port.known or node.problem else "  (no such output)"
    return f"{node.node_id}.{port.name}{problem}{missing}"


def _block(node: DiagramNode, feeding: list[str]) -> Iterator[str]:
    title = f'  "{node.title}"' if node.title not in (node.class_type, node.node_id) else ""
    problem = f"  ({node.problem})" if node.problem else ""
    yield f"{node.node_id or '(empty id)'}  {node.class_type}{title}{problem}".rstrip()
    lines = [
        f"{port.name} ← {feed}" if feed else f"{port.name} ← nothing{'  (required)' if port.required else ''}"
        for port, feed in zip(node.inputs, feeding, strict=True)
    ]
    lines += [f"{name} = {cut(value, _LONGEST_VALUE)}" for name, value in node.parameters]
    yield from (f"│ {line}" for line in lines)
    if node.outputs:
        yield "└ " + ", ".join(_output(port.name, port.socket) for port in node.outputs)


def _output(name: str, socket: str) -> str:
    return name if name.upper() == socket else f"{name} {socket}"
