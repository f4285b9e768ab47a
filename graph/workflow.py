"""The workflow as data: nodes by id, each with a class name, literals and links.

The file format is ComfyUI's API format, so that both programs can read the same files::

    {"photo": {"class_type": "LoadImage", "inputs": {"image": "fox.png"}, "_meta": {"title": "Photo"}},
     "vision": {"class_type": "SiglipEncode", "inputs": {"siglip": ["redux", 0], "image": ["photo", 0]}}}

A list is always a link; a literal list is written ``{"__value__": [...]}``. A :class:`Workflow` is
immutable: methods that change something return a new one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from run_graph.graph.links import Link, parse_link, same_text

if TYPE_CHECKING:
    import networkx as nx

PACK_KEYS = ("cnr_id", "aux_id")
"""Where ComfyUI's files name the package of a node's class: in its registry, or on GitHub as owner/name."""


@dataclass(frozen=True)
class NodeSpec:
    """One node of a workflow, not yet checked against any class.

    ``inputs`` maps names to :class:`Link` objects or JSON values. A list among the values is a malformed
    link, kept so that validation can report it. ``class_type`` is "" if the file has none. ``pack`` is the
    package that has the class, as far as ComfyUI said so. ``upstream`` has the ids of the nodes that this one
    is linked to, each once, in the order of the inputs.
    """

    class_type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    pack: str | None = field(default=None, compare=False)
    upstream: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        upstream = dict.fromkeys(value.node_id for value in self.inputs.values() if isinstance(value, Link))
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))
        object.__setattr__(self, "upstream", tuple(upstream))

    def __reduce__(self) -> tuple[Any, ...]:
        return NodeSpec, (
            self.class_type,
            dict(self.inputs),
            self.title,
            self.pack,
        )  # a mapping proxy cannot be pickled

    def links(self) -> Iterator[tuple[str, Link]]:
        """The linked inputs, as pairs of input name and link."""
        return ((name, value) for name, value in self.inputs.items() if isinstance(value, Link))

    def relinked(self, name: Callable[[str], str]) -> NodeSpec:
        """The same node with the ids in its links mapped by ``name``."""
        inputs = {
            key: Link(name(value.node_id), value.slot) if isinstance(value, Link) else value
            for key, value in self.inputs.items()
        }
        return replace(self, inputs=inputs)

    def to_json(self) -> dict[str, Any]:
        """The node's object in API format, ready for ``json.dumps``."""
        inputs = {
            name: value.to_json() if isinstance(value, Link) else own_copy(value)
            for name, value in self.inputs.items()
        }
        spec: dict[str, Any] = {"class_type": self.class_type, "inputs": inputs}
        meta = {"title": self.title} if self.title is not None else {}
        if self.pack is not None:
            meta["aux_id" if "/" in self.pack else "cnr_id"] = self.pack
        if meta:
            spec["_meta"] = meta
        return spec

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> NodeSpec:
        """Read one node's object; keys that are not part of the format are dropped."""
        inputs = {name: _read_input(value) for name, value in spec.get("inputs", {}).items()}
        written = spec.get("_meta")
        meta = written if isinstance(written, Mapping) else {}
        title = meta.get("title")
        pack = next((each for key in PACK_KEYS if isinstance(each := meta.get(key), str)), None)
        class_type = spec.get("class_type")
        return cls(
            class_type if isinstance(class_type, str) else "",
            inputs,
            title if isinstance(title, str) else None,
            pack,
        )


def own_copy(value: Any) -> Any:
    """A deep copy of a JSON value, so that changing it does not change the original."""
    if isinstance(value, list):
        return [own_copy(item) for item in value]
    if isinstance(value, dict):
        return {name: own_copy(item) for name, item in value.items()}
    return value


def is_wrapped(value: Any) -> bool:
    """Whether a literal is written ``{"__value__": ...}``."""
    return isinstance(value, dict) and value.keys() == {"__value__"}


def unwrapped(value: Any) -> Any:
    """The literal that a node receives, without the wrapper that distinguishes a list from a link."""
    return value["__value__"] if is_wrapped(value) else value


def _read_input(value: Any) -> Any:
    link = parse_link(value)
    return own_copy(value) if link is None else link


@dataclass(frozen=True)
class Workflow:
    """Nodes by id. Immutable. Two are equal if their nodes are, in any order."""

    nodes: Mapping[str, NodeSpec]

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Workflow, (dict(self.nodes),)  # a mapping proxy cannot be pickled

    def __len__(self) -> int:
        return len(self.nodes)

    def to_json(self) -> dict[str, Any]:
        """The API-format object, ready for ``json.dumps``."""
        return {node_id: spec.to_json() for node_id, spec in self.nodes.items()}

    def dumps(self) -> str:
        """The text of the workflow file: indented, one line for each input, non-ASCII text kept as it is."""
        return _dump_readably(self.to_json())

    @classmethod
    def from_json(cls, nodes: Mapping[str, Mapping[str, Any]]) -> Workflow:
        """Build from an API-format object (see :func:`graph.formats.api.parse_workflow` for files)."""
        return cls({same_text(node_id): NodeSpec.from_json(spec) for node_id, spec in nodes.items()})

    @cached_property
    def digraph(self) -> nx.DiGraph[str]:
        """A graph of ids, with an edge from each node to those linked to it. Do not modify.

        Links to missing nodes are left out.
        """
        import networkx as nx  # imported here: slow to load, and most runs never need it

        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from(
            (source, node_id)
            for node_id, spec in self.nodes.items()
            for source in spec.upstream
            if source in self.nodes
        )
        return graph

    def ancestors(self, targets: Iterable[str]) -> set[str]:
        """The targets and all nodes that they depend on. Iterative, so any depth is possible."""
        nodes = self.nodes
        pending = [target for target in targets if target in nodes]
        seen = set(pending)
        while pending:
            for source in nodes[pending.pop()].upstream:
                if source in nodes and source not in seen:
                    seen.add(source)
                    pending.append(source)
        return seen

    def order(self) -> list[str] | None:
        """The ids in topological order, or None if there is a cycle.

        If each node already comes after those it depends on, as in most files, the order is unchanged.
        """
        return list(self.nodes) if self._is_in_order() else self._sorted()

    def _is_in_order(self) -> bool:
        seen: set[str] = set()
        for node_id, spec in self.nodes.items():
            for source in spec.upstream:
                if source not in seen and source in self.nodes:
                    return False
            seen.add(node_id)
        return True

    def _sorted(self) -> list[str] | None:
        missing: dict[str, int] = {}
        readers: defaultdict[str, list[str]] = defaultdict(list)
        for node_id, spec in self.nodes.items():
            known = [source for source in spec.upstream if source in self.nodes]
            missing[node_id] = len(known)
            for source in known:
                readers[source].append(node_id)
        order = [node_id for node_id, count in missing.items() if not count]
        for node_id in order:  # grows while it is walked
            for reader in readers.get(node_id, ()):
                missing[reader] -= 1
                if not missing[reader]:
                    order.append(reader)
        return order if len(order) == len(self.nodes) else None

    def nodes_on_cycles(self) -> list[str]:
        """The ids of the nodes that depend on themselves, in the order of the workflow."""
        import networkx as nx

        on_cycles: set[str] = set()
        for component in nx.strongly_connected_components(self.digraph):
            [first, *others] = component
            if others or self.digraph.has_edge(first, first):
                on_cycles |= component
        return [node_id for node_id in self.nodes if node_id in on_cycles]

    def cycles(self, limit: int | None = None) -> list[list[str]]:
        """Cycles that together cover every node on a cycle: shortest ones, each once, in link direction.

        With a limit at most so many, since finding each takes a walk through the nodes on cycles.
        """
        found: list[list[str]] = []
        covered: set[str] = set()
        for node_id in self.nodes_on_cycles():
            if node_id not in covered:
                if len(found) == limit:
                    break
                found.append(cycle := _shortest_cycle(self.digraph, node_id))
                covered.update(cycle)
        return found

    def with_input(self, node_id: str, name: str, value: Any) -> Workflow:
        """The same workflow with one input set to a JSON value or a :class:`Link`."""
        spec = self.nodes[node_id]
        changed = replace(spec, inputs={**spec.inputs, name: _read_input(value)})
        return Workflow({**self.nodes, node_id: changed})

    def renamed(self, names: Mapping[str, str]) -> Workflow:
        """The same workflow with ids replaced as ``names`` says, in links too; other ids stay the same."""
        return Workflow(
            {
                names.get(node_id, node_id): spec.relinked(lambda source: names.get(source, source))
                for node_id, spec in self.nodes.items()
            }
        )

    def only(self, kept: Set[str]) -> Workflow:
        """The workflow reduced to these nodes, in the original order."""
        if kept >= self.nodes.keys():
            return self
        return Workflow({node_id: spec for node_id, spec in self.nodes.items() if node_id in kept})


def _shortest_cycle(graph: nx.DiGraph[str], start: str) -> list[str]:
    """The shortest cycle through a node that is on one."""
    came_from: dict[str, str] = {}
    reached = [start]
    for node_id in reached:  # grows while it is walked: breadth first
        for reader in graph.successors(node_id):
            if reader == start:
                return _path(came_from, node_id)
            if reader not in came_from:
                came_from[reader] = node_id
                reached.append(reader)
    raise ValueError(f"{start!r} is on no cycle")


def _path(came_from: Mapping[str, str], end: str) -> list[str]:
    path = [end]
    while path[-1] in came_from:
        path.append(came_from[path[-1]])
    return path[::-1]


def _dump_readably(nodes: dict[str, Any]) -> str:
    """JSON with one line for each input: readable in an editor and in a diff."""
    blocks = []
    for node_id, spec in nodes.items():
        inputs = ",\n".join(f"      {_json(name)}: {_json(value)}" for name, value in spec["inputs"].items())
        lines = [
            f'    "class_type": {_json(spec["class_type"])}',
            f'    "inputs": {{\n{inputs}\n    }}' if inputs else '    "inputs": {}',
        ]
        if "_meta" in spec:
            lines.append(f'    "_meta": {_json(spec["_meta"])}')
        blocks.append(f"  {_json(node_id)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
