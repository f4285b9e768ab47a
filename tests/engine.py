"""Running workflows in tests, with every event kept."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conformance.integer_nodes import Add, Const, Inc, Sink

from run_graph.graph import Link, Node, NodeSpec, Registry, Workflow
from run_graph.runtime.cache import ResultCache
from run_graph.runtime.engine.context import CancelToken, RunEnvironment
from run_graph.runtime.engine.plan import Plan
from run_graph.runtime.engine.session import RunResult, Session
from run_graph.runtime.events import Event, Listener, NodeReused, NodeStarted, ignore

ENVIRONMENT = RunEnvironment([Path()], Path("output"))


class Engine:
    """A session that remembers the events of its latest run."""

    def __init__(self, registry: Registry, cache: ResultCache | None = None) -> None:
        self.session = Session(registry, cache)
        self.events: list[Event] = []
        self.token = CancelToken()

    def run(
        self, workflow: Workflow, targets: Iterable[str] | None = None, on_event: Listener = ignore
    ) -> RunResult:
        """Run; ``on_event`` gets each event after it was kept."""
        self.events = []
        self.token = CancelToken()

        def keep(event: Event) -> None:
            self.events.append(event)
            on_event(event)

        return self.session.run(
            workflow, targets=targets, environment=ENVIRONMENT, on_event=keep, token=self.token
        )

    @property
    def ran(self) -> list[str]:
        """The ids of the nodes that ran, in order."""
        return [event.node_id for event in self.events if isinstance(event, NodeStarted)]

    def reused(self, origin: str) -> list[str]:
        """The ids of the nodes whose result came from ``"cache"`` or a ``"duplicate"``."""
        return [e.node_id for e in self.events if isinstance(e, NodeReused) and e.origin == origin]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def workflow(**nodes: tuple[type[Node] | str, dict[str, Any]]) -> Workflow:
    """Nodes as ``id=(class, inputs)``; an input ``"@id"`` or ``"@id.slot"`` is a link."""
    return Workflow(
        {
            node_id: NodeSpec(
                node_class if isinstance(node_class, str) else node_class.class_type,
                {name: link(value) for name, value in inputs.items()},
            )
            for node_id, (node_class, inputs) in nodes.items()
        }
    )


def plan_keys(plan: Plan) -> dict[str, str]:
    """The key of each node's result."""
    return {node_id: step.key for node_id, step in plan.steps.items()}


def link(value: Any) -> Any:
    if not (isinstance(value, str) and value.startswith("@")):
        return value
    node_id, _, slot = value[1:].partition(".")
    return Link(node_id, int(slot) if slot.isdigit() else slot or 0)


TREE = workflow(
    a=(Const, {"value": 1}),
    b=(Const, {"value": 2}),
    left=(Inc, {"x": "@a"}),
    right=(Inc, {"x": "@b"}),
    join=(Add, {"a": "@left", "b": "@right"}),
    sink=(Sink, {"x": "@join"}),
    other=(Sink, {"x": "@right"}),
)
"""Two sources that meet in one sink; the second also has a sink of its own."""
