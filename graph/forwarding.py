"""Outputs that forward an input, such as SaveImage's `images`.

Such an output is declared with ``json_schema_extra={"forwards": "name of the input"}``. Its value is the
input's value by definition, so a link to it is followed to the source of that input, and ``run`` leaves it
out of its result (``Saved.model_construct(path=...)``): otherwise the results of output nodes would keep
every saved picture in memory and in the caches. What reads a forwarded output does not wait for the node
itself, which runs if it is a target, as output nodes usually are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from run_graph.graph.declaration import forwarded_input, inputs_of, output_table, outputs_of
from run_graph.graph.links import Link
from run_graph.graph.node import Node, Outputs
from run_graph.graph.workflow import Workflow

OutputsType = TypeVar("OutputsType", bound=Outputs)


@cache
def forwarded_inputs(node_class: type[Node]) -> Mapping[int, str]:
    """The slots of a node class that forward an input, and that input's name.

    Raises
    ------
    TypeError
        If there is no such input, or it takes literals or may be left out: there may be no link to follow.
    """
    inputs = inputs_of(node_class)
    found = {output.slot: output.forwards for output in outputs_of(node_class) if output.forwards}
    for name in found.values():
        if name not in inputs or not inputs[name].link_only or not inputs[name].required:
            raise TypeError(
                f"{node_class.__name__} forwards {name!r}, which is not a required input for links only"
            )
    return MappingProxyType(found)


def followed(workflow: Workflow, classes: Mapping[str, type[Node]], link: Link) -> Link:
    """The link to where a value comes from, past all nodes that only forward it."""
    passed = set()
    while link not in passed:  # a workflow that has not been validated may have a cycle
        passed.add(link)
        spec = workflow.nodes.get(link.node_id)
        node_class = classes.get(spec.class_type) if spec is not None else None
        output = output_table(node_class).get(link.slot) if node_class is not None else None
        source = spec.inputs.get(output.forwards) if spec is not None and output and output.forwards else None
        if isinstance(source, Link):
            link = source
    return link


def restored(kind: type[OutputsType], values: Mapping[str, Any]) -> OutputsType:
    """A result made again from its values; forwarded outputs are missing, as in the original.

    Raises
    ------
    ValueError
        If the values are not those of such a result.
    """
    missing = {name: info for name, info in kind.model_fields.items() if name not in values}
    only_forwarded = all(forwarded_input(info) for info in missing.values())
    if missing and only_forwarded and values.keys() <= kind.model_fields.keys():
        return kind.model_construct(**values)
    return kind.model_validate(values)
