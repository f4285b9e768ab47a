"""A workflow as a mermaid flowchart, which GitHub and many editors show as a picture."""

from __future__ import annotations

from collections.abc import Iterator

from run_graph.graph.draw.diagram import Diagram, DiagramNode, diagram_of
from run_graph.graph.draw.layout import subtitle
from run_graph.graph.draw.measure import cut
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow

_LONGEST_VALUE = 40
# Letters, digits and these are written as they are, everything else as a numeric entity, so that no title,
# id or prompt can end a label, open a tag, or look like a statement.
_HARMLESS = frozenset(" _-.,()/+=·…→")


def draw_mermaid(workflow: Workflow, registry: Registry) -> str:
    """The workflow as mermaid text. Works for workflows with faults too."""
    return "\n".join(_lines(diagram_of(workflow, registry))) + "\n"


def _lines(diagram: Diagram) -> Iterator[str]:
    yield "flowchart LR"
    names = {node_id: f"n{number}" for number, node_id in enumerate(diagram.nodes)}
    for node_id, node in diagram.nodes.items():
        yield f'  {names[node_id]}["{_label(node)}"]{":::fault" if node.problem else ""}'
    for link in diagram.connections:
        source, target = diagram.nodes[link.source], diagram.nodes[link.target]
        output, reader = source.outputs[link.output].name, target.inputs[link.input].name
        caption = output if output == reader else f"{output} → {reader}"
        yield f'  {names[link.source]} -->|"{_escaped(caption)}"| {names[link.target]}'
    if any(node.problem for node in diagram.nodes.values()):
        yield "  classDef fault stroke:red,stroke-dasharray:5 5"


def _label(node: DiagramNode) -> str:
    lines = [f"<b>{_escaped(node.title or '(no class)')}</b>"]
    if below := subtitle(node):
        lines.append(f"<i>{_escaped(below)}</i>")
    lines += [f"{_escaped(name)} = {_escaped(cut(value, _LONGEST_VALUE))}" for name, value in node.parameters]
    return "<br/>".join(lines)


def _escaped(text: str) -> str:
    return "".join(char if char.isalnum() or char in _HARMLESS else f"#{ord(char)};" for char in text)
