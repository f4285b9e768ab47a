"""The thread that runs the prompts, one after another, in one session that keeps models and results."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable
from typing import Any

from run_graph.graph.faults import WorkflowError
from run_graph.graph.registry import Registry
from run_graph.graph.third_party import described
from run_graph.runtime.engine.context import CancelToken
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.events import (
    RUN_GRAPH_ONLY,
    Downloading,
    Event,
    NodeFinished,
    NodeProgress,
    NodeWarned,
)
from run_graph.runtime.images.sending import PictureReceiver
from run_graph.runtime.models.permissions import under
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.server.folders import Folders
from run_graph.runtime.server.hub import PNG, Hub
from run_graph.runtime.server.messages import RunMessages, about
from run_graph.runtime.server.previews import Previews
from run_graph.runtime.server.prompts import read_prompt
from run_graph.runtime.server.queue import Ended, PromptQueue, QueuedPrompt

Tell = Callable[[str], None]


class Worker:
    """Runs what is in the queue.

    Parameters
    ----------
    queue : PromptQueue
    session : Session
    registry : Registry
    folders : Folders
    hub : Hub
    tell : callable
        Gets what the user should know, a line each.
    """

    def __init__(
        self, queue: PromptQueue, session: Session, registry: Registry, folders: Folders, hub: Hub, tell: Tell
    ) -> None:
        self._queue, self._session, self._registry = queue, session, registry
        self._folders, self._hub, self._tell = folders, hub, tell
        self._previews = Previews(hub)
        self._lock = threading.Lock()
        self._token: CancelToken | None = None
        self._running: QueuedPrompt | None = None
        self._messages: RunMessages | None = None
        self._stopping = False
        session.services.get(PictureReceiver).send = self._send_picture
        self._thread = threading.Thread(target=self._work, name="run-graph worker", daemon=True)

    def start(self) -> None:
        """Begin with the first prompt."""
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop after the present step, and wait so long for it. The running prompt stays in the queue.

        Returns whether the thread has ended.
        """
        with self._lock:
            self._stopping = True
            if self._token is not None:
                self._token.cancel()
        self._queue.close()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Stop the running prompt at its next step, if it is this one; returns whether it is."""
        with self._lock:
            running, token = self._running, self._token
            if running is None or token is None or prompt_id not in (None, running.id):
                return False
            token.cancel()
            return True

    def position(self, client: str) -> str | None:
        """The node that runs for a client, if one does."""
        with self._lock:
            if self._running is None or self._messages is None or self._running.client != client:
                return None
            return self._messages.node_id

    def free_models(self) -> None:
        """Evict all models; a run that needs one again loads it again."""
        self._session.services.get(ModelStore).evict_all()

    def _work(self) -> None:
        while (prompt := self._queue.take()) is not None:
            token = CancelToken()
            with self._lock:
                if self._stopping:
                    return
                self._running, self._token = prompt, token
            try:
                self._run(prompt, token)
            except Exception:  # a fault of this program must not end the server
                self._tell(f"prompt {prompt.id} ended unexpectedly: {traceback.format_exc()}")
            finally:
                with self._lock:
                    self._running = self._token = self._messages = None
            if self._stopping:
                return

    def _run(self, prompt: QueuedPrompt, token: CancelToken) -> None:
        workflow = read_prompt(json.loads(prompt.graph), self._registry)
        targets = tuple(json.loads(prompt.targets))

        def show_preview(event: NodeProgress, about: dict[str, Any]) -> None:
            self._previews.show(event, about, prompt.client)

        messages = RunMessages(
            prompt, workflow, targets, self._registry, self._folders, self._hub.post, show_preview
        )
        with self._lock:
            self._messages = messages

        def on_event(event: Event) -> None:
            self._log(prompt, event)
            if prompt.client is not None and (detail := _detail(event)) is not None:
                self._hub.post_event({"prompt_id": prompt.id, **detail}, prompt.client)
            messages(event)

        try:
            environment = self._folders.environment.with_extra(json.loads(prompt.extra))
            with under(self._folders.rules()):
                self._session.run(
                    workflow, targets=targets, environment=environment, on_event=on_event, token=token
                )
            ended = messages.success()
        except Cancelled:
            if self._stopping:
                return  # it goes on when the server starts again
            ended = messages.interrupted()
        except NodeFailed as failure:
            ended = messages.failed(
                failure.node_id, _error(failure, failure.__cause__ or failure, failure.inputs)
            )
            self._tell(f"prompt {prompt.id}: {failure}")
        except WorkflowError as error:
            ended = self._refused(messages, error)
            self._tell(f"prompt {prompt.id}: {error}")
        except Exception as error:
            ended = messages.failed(messages.node_id, _error(error, error, {}))
            self._tell(f"prompt {prompt.id}: {described(error)}\n{traceback.format_exc()}")
        self._end(prompt, messages, ended)

    def _end(self, prompt: QueuedPrompt, messages: RunMessages, ended: Ended) -> None:
        """First the history, then the messages: clients look results up as soon as they hear of the end."""
        messages.node_id = None
        self._queue.finish(prompt, ended)
        messages.tell_end(ended)
        self._hub.post_status()
        if prompt.client is not None:
            self._hub.post("executing", {"node": None, "prompt_id": prompt.id}, prompt.client)

    def _refused(self, messages: RunMessages, error: WorkflowError) -> Ended:
        """The end of a run whose files have changed since the prompt was accepted."""
        fault = next((each for each in error.faults if each.node_id is not None), error.faults[0])
        if fault.node_id is not None:
            messages.start_failing(fault.node_id)
        told = {
            "exception_message": "\n".join(map(str, error.faults)),
            "exception_type": f"run_graph.{fault.code}",
            "traceback": [],
            "current_inputs": {fault.input: [fault.found]} if fault.input else {},
        }
        return messages.failed(fault.node_id, told)

    def _send_picture(self, node_id: str, picture: bytes) -> None:
        """Send a finished picture of the running prompt to its client."""
        prompt = self._running
        if prompt is not None:
            self._hub.post_preview(picture, PNG, about(node_id, prompt.id), prompt.client)

    def _log(self, prompt: QueuedPrompt, event: Event) -> None:
        if isinstance(event, NodeWarned):
            self._tell(f"prompt {prompt.id}: node {event.node_id!r}: {event.message}")
        elif isinstance(event, Downloading) and not event.done_bytes:
            self._tell(f"downloading {event.repository} into {event.folder}")


def _detail(event: Event) -> dict[str, Any] | None:
    """What ComfyUI's messages do not say of an event: sent before them, to clients that ask."""
    if isinstance(event, NodeFinished):
        return {"event": event.kind, "node_id": event.node_id, "seconds": event.seconds, "key": event.key}
    return event.to_json() if isinstance(event, RUN_GRAPH_ONLY) else None


def _error(failure: Exception, cause: BaseException, inputs: dict[str, Any]) -> dict[str, Any]:
    """What ``execution_error`` says of an exception."""
    kind = type(cause)
    message = failure.reason if isinstance(failure, NodeFailed) else described(cause)
    return {
        "exception_message": message,
        "exception_type": kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}",
        "traceback": traceback.format_tb(cause.__traceback__),
        "current_inputs": {name: [value] for name, value in inputs.items()},
    }
