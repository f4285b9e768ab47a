"""From ComfyUI's messages about a prompt to the engine's events.

run-graph's own server also sends, as ``run_graph_event``, the events that ComfyUI has no message for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from run_graph.graph.workflow import Workflow
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.events import (
    RUN_GRAPH_ONLY,
    FileSaved,
    Listener,
    NodeErred,
    NodeFinished,
    NodeProgress,
    NodeReused,
    NodeStarted,
)
from run_graph.runtime.remote.api import ServerApi
from run_graph.runtime.remote.downloads import fetch, references_in
from run_graph.runtime.remote.errors import ServerError
from run_graph.runtime.remote.prompts import Prompt

_KINDS = {kind.kind: kind for kind in RUN_GRAPH_ONLY}


class Results:
    """What a run on a server has made: the plain outputs of nodes, by their ids in events.

    Several prompts of one run may share a node; it is told of once.
    """

    def __init__(self) -> None:
        self.by_place: dict[str, dict[str, Any]] = {}
        self.told: set[str] = set()


class PromptEvents:
    """Follows one prompt: gets its messages, sends events, and fetches its files.

    Parameters
    ----------
    prompt : Prompt
    targets : collection of str
        The ids of its output nodes.
    api : ServerApi
    emit : callable
    results : Results
        Where the outputs of nodes go.
    """

    def __init__(
        self, prompt: Prompt, targets: Iterable[str], api: ServerApi, emit: Listener, results: Results
    ) -> None:
        self.ended = False
        self._prompt, self._targets, self._api = prompt, frozenset(targets), api
        self._emit, self._results = emit, results
        self._started: dict[str, float] = {}
        self._measured: dict[str, Mapping[str, Any]] = {}  # by the server itself
        self._cached: set[str] = set()

    def hear(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take a message about this prompt.

        Raises
        ------
        NodeFailed
            If a node has failed on the server.
        ServerError
            If somebody else has interrupted the prompt, or a file is not there.
        SaveError
            If a file cannot be written here.
        """
        if kind == "execution_cached":
            self._find(data["nodes"])
        elif kind == "executing":
            if data.get("node") is None:
                self.end()
            else:
                self._start(data["node"])
        elif kind == "progress":
            self._start(data["node"])
            place = self._prompt.place(data["node"])
            self._emit(NodeProgress(place, int(data["value"]), int(data["max"])))
        elif kind == "executed":
            self._take(data["node"], data.get("output") or {})
        elif kind == "progress_state":
            for node_id, state in data["nodes"].items():
                if state["state"] == "finished":
                    self._finish(node_id)
        elif kind == "run_graph_event":
            self._pass_on(data)
        elif kind == "execution_error":
            self._fail(data)
        elif kind == "execution_interrupted":
            self.ended = True
            raise ServerError(f"{self._api.address.url}: the prompt was interrupted there; run it again")

    def catch_up(self, entry: Mapping[str, Any]) -> None:
        """Take what the server's history says of the prompt, which has ended. Raises as `hear` does."""
        for kind, data in entry["status"]["messages"]:
            if kind in ("execution_cached", "execution_error", "execution_interrupted"):
                self.hear(kind, data)
        for node_id, output in entry["outputs"].items():
            self._take(node_id, output)
        self.end()

    def end(self) -> None:
        """The prompt is done: what has not been told as finished is now."""
        for node_id in list(self._started):
            self._finish(node_id)
        for node_id in list(self._cached):
            self._reuse(node_id)
        self.ended = True

    def _find(self, node_ids: Iterable[str]) -> None:
        for node_id in node_ids:
            if node_id in self._targets:
                self._cached.add(node_id)  # its files are told of after this
            else:
                self._reuse(node_id)

    def _start(self, node_id: str) -> None:
        if node_id not in self._started and not self._is_told(node_id):
            self._started[node_id] = time.perf_counter()
            self._emit(NodeStarted(self._prompt.place(node_id), self._class_of(node_id)))

    def _finish(self, node_id: str) -> None:
        began = self._started.pop(node_id, None)
        if began is not None and self._tell(node_id):
            measured = self._measured.get(node_id, {})
            seconds = float(measured.get("seconds", time.perf_counter() - began))
            place, result = self._prompt.place(node_id), self._result_of(node_id)
            key = str(measured.get("key", ""))
            self._emit(NodeFinished(place, self._class_of(node_id), seconds, result, key=key))

    def _reuse(self, node_id: str) -> None:
        self._cached.discard(node_id)
        if self._tell(node_id):
            place, result = self._prompt.place(node_id), self._result_of(node_id)
            self._emit(NodeReused(place, self._class_of(node_id), "cache", result))

    def _take(self, node_id: str, output: Mapping[str, Any]) -> None:
        place = self._prompt.place(node_id)
        if place not in self._results.by_place:
            paths = [self._fetched(place, each) for each in references_in(output)]
            texts = [text for text in output.get("text", ()) if isinstance(text, str)]
            result: dict[str, Any] = {"path": paths[0], "paths": paths} if paths else {}
            self._results.by_place[place] = {**result, **({"string": "\n".join(texts)} if texts else {})}
        if node_id in self._cached:
            self._reuse(node_id)

    def _fetched(self, place: str, reference: Mapping[str, str]) -> str:
        path: Path = fetch(self._api, reference, self._prompt.output_directory)
        self._emit(FileSaved(place, str(path)))
        return str(path)

    def _pass_on(self, data: Mapping[str, Any]) -> None:
        if data.get("event") == NodeFinished.kind:
            self._measured[data["node_id"]] = data
        kind = _KINDS.get(str(data.get("event")))
        if kind is not None:
            fields = {name: value for name, value in data.items() if name not in ("event", "prompt_id")}
            if "node_id" in fields:
                fields["node_id"] = self._prompt.place(fields["node_id"])
            self._emit(kind(**fields))

    def _fail(self, data: Mapping[str, Any]) -> None:
        self.ended = True
        node_id = str(data.get("node_id"))
        place, class_type = self._prompt.place(node_id), self._class_of(node_id)
        message = str(data.get("exception_message", "")).strip()
        error = str(data.get("exception_type", "Exception")).rpartition(".")[2]
        self._emit(NodeErred(place, class_type, error, message))
        inputs = data.get("current_inputs") or {}
        single = {name: value[0] if value else None for name, value in inputs.items()}
        failure = NodeFailed(place, class_type, single, RuntimeError(message))
        failure.error = error
        raise failure

    def _tell(self, node_id: str) -> bool:
        """Note that a node is done; returns whether it was not known yet."""
        place = self._prompt.place(node_id)
        known = place in self._results.told
        self._results.told.add(place)
        return not known

    def _is_told(self, node_id: str) -> bool:
        return self._prompt.place(node_id) in self._results.told

    def _result_of(self, node_id: str) -> dict[str, Any]:
        return self._results.by_place.get(self._prompt.place(node_id), {})

    def _class_of(self, node_id: str) -> str:
        workflow: Workflow = self._prompt.workflow
        return workflow.nodes[node_id].class_type if node_id in workflow.nodes else ""
