"""From the engine's events to ComfyUI's messages about one run, in its order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.events import (
    Event,
    NodeErred,
    NodeFinished,
    NodeInterrupted,
    NodeProgress,
    NodeReused,
    NodeStarted,
    NodeWarned,
    RunFinished,
    RunStarted,
)
from run_graph.runtime.server.folders import Folders
from run_graph.runtime.server.queue import Ended, QueuedPrompt, milliseconds
from run_graph.runtime.server.shown import shown

# A message lists all nodes that have started. With more than these it is sent only from time to time.
_FEW_NODES = 50
_PAUSE = 0.1  # seconds


class Post(Protocol):
    """Sends a message to a client, or to all."""

    def __call__(self, kind: str, data: dict[str, Any], sid: str | None) -> None: ...


ShowPreview = Callable[[NodeProgress, dict[str, Any]], None]
"""Gets a step's event, and what names its node and prompt for clients."""


class RunMessages:
    """A listener that sends the messages of one run and keeps what its history entry needs.

    Parameters
    ----------
    prompt : QueuedPrompt
    workflow : Workflow
    targets : sequence of str
    registry : Registry
    folders : Folders
    post : callable
    show_preview : callable
        Gets each step.

    Attributes
    ----------
    node_id : str or None
        The node that runs now.
    """

    def __init__(
        self,
        prompt: QueuedPrompt,
        workflow: Workflow,
        targets: tuple[str, ...],
        registry: Registry,
        folders: Folders,
        post: Post,
        show_preview: ShowPreview,
    ) -> None:
        self.node_id: str | None = None
        self._prompt, self._workflow, self._targets = prompt, workflow, targets
        self._registry, self._folders = registry, folders
        self._post, self._show_preview = post, show_preview
        self._began = milliseconds()
        self._messages: list[Any] = []
        self._found: list[NodeReused] | None = []  # what is known at the start, until it has been told
        self._states: dict[str, dict[str, Any]] = {}
        self._states_sent = 0.0
        self._states_waiting = False
        self._executed: list[str] = []
        self._outputs: dict[str, Any] = {}
        self._interrupted: NodeInterrupted | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._tell("execution_start", {})
        elif isinstance(event, NodeReused) and self._found is not None and event.origin != "unchanged":
            self._found.append(event)
        elif isinstance(event, NodeWarned):
            return
        else:
            self._tell_found()
            self._follow(event)

    def _follow(self, event: Event) -> None:
        if isinstance(event, NodeStarted):
            self._start(event.node_id)
        elif isinstance(event, NodeProgress):
            self._step(event)
        elif isinstance(event, NodeFinished | NodeReused):
            self._finish(event)
        elif isinstance(event, NodeInterrupted):
            self._interrupted = event
        elif isinstance(event, NodeErred):
            self.node_id = event.node_id
        elif isinstance(event, RunFinished):
            self._send_states(now=True)

    def start_failing(self, node_id: str) -> None:
        """Tell of a run that ends before its first node has begun, because of that node."""
        if not self._messages:
            self._tell("execution_start", {})
        self._tell_found()
        self._start(node_id)

    def success(self) -> Ended:
        """The end of a run that is done; `tell_end` tells it."""
        return self._ended("completed", "execution_success", {})

    def interrupted(self) -> Ended:
        """The end of a run that was stopped."""
        node_id = self._interrupted.node_id if self._interrupted else self.node_id
        return self._ended("cancelled", "execution_interrupted", self._place(node_id))

    def failed(self, node_id: str | None, error: Mapping[str, Any]) -> Ended:
        """The end of a run in which a node failed; ``error`` says how."""
        data = {**self._place(node_id), **error, "current_outputs": list(self._executed)}
        return self._ended("failed", "execution_error", data)

    def tell_end(self, ended: Ended) -> None:
        """Send the last message about the run as a whole."""
        kind, data = ended.messages[-1]
        if self._prompt.client is not None:
            self._post(kind, data, self._prompt.client)

    def _place(self, node_id: str | None) -> dict[str, Any]:
        spec = self._workflow.nodes.get(node_id or "")
        return {
            "node_id": node_id,
            "node_type": spec.class_type if spec else None,
            "executed": list(self._executed),
        }

    def _ended(self, outcome: str, kind: str, data: dict[str, Any]) -> Ended:
        self._tell_found()
        self._send_states(now=True)
        self._record(kind, data)
        meta = {node_id: _meta(node_id) for node_id in self._outputs}
        error = self._messages[-1][1] if outcome == "failed" else None
        return Ended(outcome, self._outputs, meta, self._messages, self._began, milliseconds(), error)

    def _record(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        full = {"prompt_id": self._prompt.id, **data, "timestamp": milliseconds()}
        self._messages.append([kind, full])
        return full

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        full = self._record(kind, data)
        self._to_client(kind, full)

    def _to_client(self, kind: str, data: dict[str, Any]) -> None:
        if self._prompt.client is not None:
            self._post(kind, data, self._prompt.client)

    def _tell_found(self) -> None:
        """Say which nodes do not run, once: those whose results are known, and those that only they need."""
        found, self._found = self._found, None
        if found is None:
            return
        known = {event.node_id for event in found}
        to_run = self._to_run(known)
        needed = self._workflow.ancestors(self._targets)
        cached = [node_id for node_id in self._workflow.nodes if node_id in needed and node_id not in to_run]
        self._tell("execution_cached", {"nodes": cached})
        self._executed += cached
        for event in found:
            if self._registry[event.class_type].is_output:
                self._finish(event)

    def _to_run(self, known: set[str]) -> set[str]:
        """The nodes that the targets need beyond what is known."""
        pending = [target for target in self._targets if target not in known]
        reached = set(pending)
        while pending:
            for source in self._workflow.nodes[pending.pop()].upstream:
                if source not in known and source not in reached:
                    reached.add(source)
                    pending.append(source)
        return reached

    def _start(self, node_id: str) -> None:
        self.node_id = node_id
        self._set_state(node_id, "running", 0.0, 1.0)
        data = {"node": node_id, "display_node": node_id, "prompt_id": self._prompt.id}
        self._to_client("executing", data)

    def _step(self, event: NodeProgress) -> None:
        self._set_state(event.node_id, "running", event.value, event.maximum)
        self._show_preview(event, about(event.node_id, self._prompt.id))
        data = {
            "value": event.value,
            "max": event.maximum,
            "prompt_id": self._prompt.id,
            "node": event.node_id,
        }
        self._post("progress", data, self._prompt.client)

    def _finish(self, event: NodeFinished | NodeReused) -> None:
        node_id = event.node_id
        self._executed.append(node_id)
        output = shown(self._registry[event.class_type], event.result, self._folders)
        if output:
            self._outputs[node_id] = output
            data = {"node": node_id, "display_node": node_id, "output": output, "prompt_id": self._prompt.id}
            self._to_client("executed", data)
        maximum = self._states[node_id]["max"] if node_id in self._states else 1.0
        self._set_state(node_id, "finished", maximum, maximum)

    def _set_state(self, node_id: str, state: str, value: float, maximum: float) -> None:
        named = about(node_id, self._prompt.id)
        self._states[node_id] = {"value": value, "max": maximum, "state": state, **named}
        self._states_waiting = True
        self._send_states(now=len(self._states) <= _FEW_NODES)

    def _send_states(self, *, now: bool) -> None:
        if not self._states_waiting or not (now or time.monotonic() - self._states_sent > _PAUSE):
            return
        self._states_waiting = False
        self._states_sent = time.monotonic()
        data = {"prompt_id": self._prompt.id, "nodes": self._states}
        self._post("progress_state", data, self._prompt.client)


def about(node_id: str, prompt_id: str) -> dict[str, Any]:
    """What names a node and its prompt for clients; nodes here have no parents."""
    return {
        "prompt_id": prompt_id,
        "node_id": node_id,
        "display_node_id": node_id,
        "parent_node_id": None,
        "real_node_id": node_id,
    }


def _meta(node_id: str) -> dict[str, Any]:
    return {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}
