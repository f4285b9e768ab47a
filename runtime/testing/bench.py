"""Run single nodes as a session would, without a workflow, and see what they report and save."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from run_graph.graph.builder import Runnable
from run_graph.graph.declaration import inputs_of
from run_graph.graph.faults import Problem
from run_graph.graph.links import Link
from run_graph.graph.node import Node, Outputs
from run_graph.graph.sockets import SocketValue
from run_graph.graph.workflow import NodeSpec, Workflow
from run_graph.runtime.cache import NoCache
from run_graph.runtime.cache.serialization import deserialize_items, serialize_items
from run_graph.runtime.cache.snapshots import Snapshot
from run_graph.runtime.engine.context import CancelToken, NodeContext, RunContext, RunEnvironment
from run_graph.runtime.engine.provenance import describe_run
from run_graph.runtime.engine.run_node import run_node
from run_graph.runtime.engine.services import Services
from run_graph.runtime.events import Event, NodeProgress, NodeWarned

OutputsT = TypeVar("OutputsT", bound=Outputs)

NODE_ID = "node"


class NodeBench:
    """Runs single nodes and keeps what they report.

    >>> bench = NodeBench(tmp_path)
    >>> brighter = bench.run(Brighten(image=Image(pixels), amount=0.1)).image
    >>> assert bench.steps == [(1, 1)] and bench.warnings == []

    A node is run as by a session: its input values are made read-only, its outputs are evaluated and checked
    against what their sockets promise (dtype, shape, range, finite), and what it saves must be
    storable. So a node that passes here does not fail there for such a reason.

    Parameters
    ----------
    folder : Path
        Where input files are looked for; files are written into ``folder / "out"``.
    services : objects
        What :meth:`graph.Context.service` returns for their classes, such as one
        :class:`runtime.models.store.ModelStore` for all tests. Others are made when a node asks for them.
    provenance : mapping, optional
        What :meth:`graph.Context.provenance` returns. Default: a graph of the node alone.
    strict : bool
        Whether a node fails where it would warn.

    Attributes
    ----------
    environment : RunEnvironment
        The argument of :meth:`graph.Node.fingerprint` and :meth:`graph.Node.check`.
    token : CancelToken
        ``bench.token.cancel()`` stops nodes at their next step.
    events : list of Event
        What the nodes reported, in order.
    states : list of dict
        What they gave to :meth:`graph.Context.save_state`, in order.
    """

    def __init__(
        self,
        folder: Path,
        *services: Any,
        provenance: Mapping[str, Any] | None = None,
        strict: bool = False,
    ) -> None:
        self.folder = folder
        self.environment = RunEnvironment([folder], folder / "out")
        self.token = CancelToken()
        self.events: list[Event] = []
        self.states: list[dict[str, Any]] = []
        self._services = Services(*services)
        self._provenance = provenance
        self._strict = strict

    def run(
        self,
        node: Runnable[OutputsT],
        *,
        resume: Mapping[str, Any] | None = None,
        cancel_at: int | None = None,
    ) -> OutputsT:
        """Run a node, and return its outputs.

        Parameters
        ----------
        node : Node
            Its inputs hold values, not links.
        resume : mapping, optional
            What :meth:`graph.Context.resume_state` returns: one of `states`, to test that a run which was
            stopped there ends with the same result.
        cancel_at : int, optional
            Stop the node when it reports that this number of steps is done.

        Raises
        ------
        ValueError
            If an input or an output is not what its socket promises.
        Cancelled
            If it was stopped.
        Exception
            Whatever the node raises.
        """
        if not isinstance(node, Node):
            raise TypeError(f"run takes a node, not {type(node).__name__}")
        _seal_inputs(node)
        context = NodeContext(NODE_ID, self._run_context(node, resume, cancel_at), "snapshot")
        return cast(OutputsT, run_node(node, {}, context))

    def problems(self, node: Node) -> list[Problem]:
        """What the node's own :meth:`graph.Node.check` finds wrong with its inputs."""
        return list(node.check(self.environment))

    @property
    def steps(self) -> list[tuple[int, int]]:
        """The progress that was reported: steps done, of how many."""
        return [(event.value, event.maximum) for event in self.events if isinstance(event, NodeProgress)]

    @property
    def warnings(self) -> list[str]:
        """The warnings that were reported."""
        return [event.message for event in self.events if isinstance(event, NodeWarned)]

    @property
    def saved(self) -> list[str]:
        """The files in the output folder, sorted, relative to it."""
        folder = self.environment.output_directory
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def _run_context(self, node: Node, resume: Mapping[str, Any] | None, cancel_at: int | None) -> RunContext:
        def listen(event: Event) -> None:
            self.events.append(event)
            if isinstance(event, NodeProgress) and event.value == cancel_at:
                self.token.cancel()

        def describe(node_id: str, seconds: Mapping[str, float]) -> dict[str, Any]:
            if self._provenance is not None:
                return dict(self._provenance)
            return describe_run(_alone(node), self.environment, seconds, {}) | {"node_id": node_id}

        return RunContext(
            environment_of=lambda node_id: self.environment,
            services=self._services,
            cache=_KeepsStates(self.states, resume),
            emit=listen,
            token=self.token,
            describe=describe,
            strict=self._strict,
        )


class _KeepsStates(NoCache):
    """A cache without results, whose resume state is given and whose saved states are kept in a list."""

    def __init__(self, states: list[dict[str, Any]], resume: Mapping[str, Any] | None) -> None:
        self._states, self._resume = states, resume

    def snapshot(self, input_digest: str) -> Snapshot:
        return _KeptStates(self._states, self._resume)


class _KeptStates:
    """Every state is kept, as it would come back from the disk."""

    carried = 0.0

    def __init__(self, states: list[dict[str, Any]], resume: Mapping[str, Any] | None) -> None:
        self._states, self._resume = states, resume

    def load(self) -> dict[str, Any] | None:
        return None if self._resume is None else _stored(self._resume)

    def save(self, items: Mapping[str, Any], *, now: bool = False) -> bool:
        self._states.append(_stored(items))
        return True

    def drop(self) -> None:
        return None


def _stored(items: Mapping[str, Any]) -> dict[str, Any]:
    return deserialize_items(serialize_items(items))


def _seal_inputs(node: Node) -> None:
    for name in inputs_of(type(node)):
        value = getattr(node, name)
        if isinstance(value, Link):
            raise ValueError(f"input {name!r} holds a link; give it a value")
        if isinstance(value, SocketValue):
            try:
                value.seal()
            except ValueError as error:
                raise ValueError(f"input {name!r} is not a valid {value.socket_type}: {error}") from None


def _alone(node: Node) -> Workflow:
    """A graph of the node and of sources, called ``Given``, for the inputs that hold values of sockets."""
    nodes: dict[str, NodeSpec] = {}
    inputs: dict[str, Any] = {}
    for name in inputs_of(type(node)):
        value = getattr(node, name)
        if isinstance(value, SocketValue):
            nodes[name] = NodeSpec("Given")
            value = Link(name)
        inputs[name] = value
    return Workflow({**nodes, NODE_ID: NodeSpec(node.class_type, inputs)})
