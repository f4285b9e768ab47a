"""Build a workflow in Python, with types that an editor and a type checker understand.

>>> g = Graph()
>>> photo = g.add(LoadImage(image="fox.png"))
>>> redux = g.add(LoadRedux(model="tiny"))
>>> vision = g.add(SiglipEncode(siglip=redux.siglip, image=photo.image))

``photo`` has the type of LoadImage's outputs, so to the type checker ``photo.image`` is an ``Image``. Until
the graph runs it is really a :class:`graph.links.OutputHandle`, a placeholder for that value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from run_graph.graph.builder_faults import input_faults, name_faults, target_in_another_graph
from run_graph.graph.declaration import output_table, outputs_class, outputs_of
from run_graph.graph.engine import Result, Session, Token, installed_engine
from run_graph.graph.faults import WorkflowError, suggestion
from run_graph.graph.formats.api import load_workflow
from run_graph.graph.links import Link, OutputHandle
from run_graph.graph.node import Node, Outputs
from run_graph.graph.normal_form import node_spec
from run_graph.graph.registry import Registry, installed_nodes
from run_graph.graph.validation import check
from run_graph.graph.workflow import Workflow

OutputsT_co = TypeVar("OutputsT_co", bound=Outputs, covariant=True)


class Runnable(Protocol[OutputsT_co]):
    """What the type checker needs to know of a node: ``run`` returns its outputs."""

    @property
    def run(self) -> Callable[..., OutputsT_co]: ...


class Graph:
    """A workflow under construction.

    Parameters
    ----------
    registry : Registry, optional
        The classes used when the graph is read from a file. Default: all installed nodes.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry
        self._nodes: dict[str, Node] = {}
        self._titles: dict[str, str] = {}

    def add(
        self, node: Runnable[OutputsT_co], *, id: str | None = None, title: str | None = None
    ) -> OutputsT_co:
        """Add a node and return handles to its outputs.

        Parameters
        ----------
        node : Node
            Its inputs are literals or handles of this graph.
        id : str, optional
            Its id in the workflow file. Default: derived from the class name, such as ``load_image``.
        title : str, optional
            A caption for drawings and events.

        Raises
        ------
        WorkflowError
            If the id is taken, a link belongs to another graph or does not fit its input, or a value cannot
            be written in a workflow file. The graph is unchanged.
        """
        if not isinstance(node, Node):
            what = f"the class {node.__name__}" if isinstance(node, type) else type(node).__name__
            raise TypeError(f"add takes a node, such as LoadImage(image=...), not {what}")
        node_id = id if id is not None else self._free_id(type(node))
        faults = [
            *name_faults(node_id, title, self._nodes),
            *input_faults(node, self, self._nodes, lambda: self.registry),
        ]
        if faults:
            raise WorkflowError([fault.at(node_id, node.class_type) for fault in faults])
        self._nodes[node_id] = node.model_copy(update=self._own_links(node))
        if title is not None:
            self._titles[node_id] = title
        return cast(OutputsT_co, self._handles(node_id, type(node)))

    def outputs(self, node_id: str) -> Outputs:
        """Handles to the outputs of a node that is already in the graph, for example after :meth:`load`."""
        if node_id not in self._nodes:
            advice = suggestion(node_id, self._nodes, f"Its nodes are {', '.join(self._nodes)}.")
            raise KeyError(f"the graph has no node {node_id!r}. {advice}")
        return self._handles(node_id, type(self._nodes[node_id]))

    @property
    def workflow(self) -> Workflow:
        """The graph as data, with every parameter written out, defaults included."""
        return Workflow(
            {node_id: node_spec(node, self._titles.get(node_id)) for node_id, node in self._nodes.items()}
        )

    def save(self, path: str | Path) -> None:
        """Write the graph as a workflow file, replacing an existing one."""
        target = Path(path)
        part = target.with_name(f".{target.name}.part")
        try:
            part.write_text(self.workflow.dumps(), encoding="utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path, registry: Registry | None = None) -> Graph:
        """Read a workflow file.

        Raises
        ------
        WorkflowError
            If it cannot be read or has faults.
        """
        workflow = load_workflow(path)
        try:
            return cls.from_workflow(workflow, registry)
        except WorkflowError as error:
            raise error.in_file(str(path)) from None

    @classmethod
    def from_workflow(cls, workflow: Workflow, registry: Registry | None = None) -> Graph:
        """Build a graph from all nodes of a workflow.

        Raises
        ------
        WorkflowError
            If any node has a fault.
        """
        graph = cls(registry)
        if not workflow.nodes:
            return graph
        checked = check(workflow, graph.registry, targets=list(workflow.nodes))
        if checked.faults:
            raise WorkflowError(checked.faults)
        graph._nodes = {node_id: checked.nodes[node_id] for node_id in workflow.nodes}
        graph._titles = {
            node_id: spec.title for node_id, spec in workflow.nodes.items() if spec.title is not None
        }
        return graph

    def run(
        self,
        targets: Any = None,
        *,
        on_event: Callable[[Any], None] | None = None,
        token: Token | None = None,
        output_directory: str | Path = "output",
        input_directories: Sequence[str | Path] = (".",),
        cache: bool = True,
        strict: bool = False,
        session: Session | None = None,
        cluster: str | None = None,
        server: str | None = None,
    ) -> Result:
        """Run the graph on the installed engine, which keeps models and results for the next run.

        Parameters
        ----------
        targets : handle, node id, or several of them, optional
            What to compute. Default: all output nodes.
        on_event : callable, optional
            Gets every event of the run (:mod:`runtime.events`), on the thread that reports it. What it
            raises ends the run.
        token : CancelToken, optional
            Lets another thread stop the run.
        output_directory : str or Path
            Where files are written. Default: ``output`` in the working directory.
        input_directories : sequence of str or Path
            Where relative names of input files are looked for, in this order.
        cache : bool
            Whether to use results of earlier runs and keep those of this one.
        strict : bool
            Whether a node fails where it would warn, for example of a prompt that is cut.
        session : Session, optional
            Where models and results are kept. Default: one for the process.
        cluster : str, optional
            The address of a dask scheduler, such as ``tcp://192.168.1.5:8786``. The stages that compute with
            models then run on its workers (docs/cluster.md).
        server : str, optional
            The address of ``run-graph serve`` or ComfyUI, such as ``http://127.0.0.1:8188``, which runs the
            graph in place of this process; files come into ``output_directory`` (docs/server.md). The result
            has the paths and texts of output nodes. The server decides about ``cache``, ``strict``,
            ``session`` and ``cluster``.

        Raises
        ------
        WorkflowError
            If the graph has faults.
        NodeFailed
            (runtime) If a node failed.
        Cancelled
            (runtime) If the token stopped the run.
        ClusterError
            (runtime) If the cluster cannot be used.
        ServerError
            (runtime) If the server cannot be used.
        ValueError
            (runtime) If ``server`` comes with an option about which the server decides.
        """
        return installed_engine()(
            self.workflow,
            targets=None if targets is None else self._target_ids(targets),
            registry=self._full_registry(),
            on_event=on_event,
            token=token,
            output_directory=output_directory,
            input_directories=input_directories,
            cache=cache,
            strict=strict,
            session=session,
            cluster=cluster,
            server=server,
        )

    @property
    def registry(self) -> Registry:
        """The classes that nodes in workflow files may have."""
        return self._registry if self._registry is not None else installed_nodes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.workflow == other.workflow

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __len__(self) -> int:
        return len(self._nodes)

    def _full_registry(self) -> Registry:
        """The registry, plus the classes of nodes that were added without being registered."""
        registry = Registry(self.registry.values())
        for node in self._nodes.values():
            registry.register(type(node))
        return registry

    def _target_ids(self, targets: Any) -> list[str]:
        if isinstance(targets, (str, Link, Outputs)):
            targets = [targets]
        return list(dict.fromkeys(map(self._target_id, targets)))

    def _target_id(self, target: Any) -> str:
        if isinstance(target, str):
            return target
        handle = next(iter(target.__dict__.values()), None) if isinstance(target, Outputs) else target
        if not isinstance(handle, Link):
            raise TypeError(
                "a target is a node id, an output handle or the outputs that add returned, "
                f"not {type(target).__name__}"
            )
        if isinstance(handle, OutputHandle) and handle.graph is not self:
            raise WorkflowError([target_in_another_graph(handle)])
        return handle.node_id

    def _free_id(self, node_class: type[Node]) -> str:
        stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node_class.class_type).lower()
        number = 1
        while (node_id := stem if number == 1 else f"{stem}_{number}") in self._nodes:
            number += 1
        return node_id

    def _own_links(self, node: Node) -> dict[str, Link]:
        """The node's links as data: without what handles know besides, and with slot numbers."""
        links = {name: value for name, value in node.__dict__.items() if isinstance(value, Link)}
        return {
            name: Link(link.node_id, output_table(type(self._nodes[link.node_id]))[link.slot].slot)
            for name, link in links.items()
        }

    def _handles(self, node_id: str, node_class: type[Node]) -> Outputs:
        handles: dict[str, Any] = {
            out.name: OutputHandle(node_id, out.slot, name=out.name, produced=out.socket, graph=self)
            for out in outputs_of(node_class)
        }
        return outputs_class(node_class).model_construct(**handles)
