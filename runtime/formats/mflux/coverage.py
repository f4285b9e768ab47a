"""What of a graph its picture's settings cannot express.

Settings (prompt, seed, reference pictures, ...) mean one workflow: the native one that
:mod:`runtime.formats.mflux.workflow` builds. Where the graph that made a picture is another one, a run from
the settings alone gives another picture. So the difference is recorded with the settings, and refused by name
when they are run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from run_graph.graph.links import Link
from run_graph.graph.normal_form import normalised
from run_graph.graph.registry import installed_nodes
from run_graph.graph.validation import check
from run_graph.graph.workflow import NodeSpec, Workflow
from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.formats.mflux.recipe import recipe_of
from run_graph.runtime.formats.mflux.recorded import settings_from
from run_graph.runtime.formats.mflux.workflow import IMAGE, workflow_of


def not_in_settings(graph: Mapping[str, Any], image: Link, settings: Mapping[str, Any]) -> list[str]:
    """The nodes and inputs of a graph that its settings cannot express, in words.

    Parameters
    ----------
    graph : mapping
        The graph as run, in API format, every parameter written out.
    image : Link
        The output that was saved.
    settings : mapping
        As :func:`runtime.images.metadata.generation_settings` gives them.

    Returns
    -------
    list of str
        Empty if a run from the settings alone is the same computation.
    """
    try:
        meant = workflow_of(recipe_of(settings_from(settings)), {settings["seed"]: "picture"})
    except CommandError as error:
        return [str(error)]
    actual = Workflow.from_json(graph)
    return list(dict.fromkeys(_Comparison(actual, meant).differences(image, IMAGE)))


class _Comparison:
    """A walk up both graphs at once. Each pair of nodes is compared once."""

    def __init__(self, actual: Workflow, meant: Workflow) -> None:
        self._actual = actual
        self._stated = meant  # only what settings state, without defaults
        self._meant = normalised(check(meant, installed_nodes(), None).nodes, meant)

    def differences(self, actual: Link, meant: Link) -> Iterator[str]:
        pending, seen = [(actual, meant)], set()
        for pair in pending:  # grows while it is walked
            ours, theirs = pair
            ids = (ours.node_id, theirs.node_id)
            if ids in seen:
                continue
            seen.add(ids)
            spec, expected = self._actual.nodes[ours.node_id], self._meant.nodes[theirs.node_id]
            if spec.class_type != expected.class_type:
                yield f"node {ours.node_id!r} ({spec.class_type})"
                continue
            yield from self._inputs(ours.node_id, spec, theirs.node_id, expected)
            pending += [
                (spec.inputs[name], link)
                for name, link in expected.inputs.items()
                if isinstance(link, Link) and isinstance(spec.inputs.get(name), Link)
            ]

    def _inputs(self, node_id: str, spec: NodeSpec, meant_id: str, expected: NodeSpec) -> Iterator[str]:
        stated = self._stated.nodes[meant_id].inputs
        for name in dict.fromkeys([*spec.inputs, *expected.inputs]):
            value, meant = spec.inputs.get(name), expected.inputs.get(name)
            place = f"node {node_id!r} ({spec.class_type}), input {name!r}"
            if not isinstance(value, Link):
                if value != meant:
                    yield f"{place} = {value!r}"
            # A value that a link delivered is known where settings state it.
            elif not (isinstance(meant, Link) or name in stated):
                yield f"{place}, which is linked"
