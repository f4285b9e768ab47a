"""Running prompts on a server, in their order, and following them to their end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from run_graph.graph.engine import Token
from run_graph.graph.faults import WorkflowError
from run_graph.graph.registry import Registry
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Listener, RunFinished, RunStarted, WorkerNote
from run_graph.runtime.remote.address import Address
from run_graph.runtime.remote.api import Refusal, ServerApi
from run_graph.runtime.remote.errors import ServerError, ServerGone
from run_graph.runtime.remote.messages import Messages
from run_graph.runtime.remote.prompts import Prompt
from run_graph.runtime.remote.refusals import faults_of
from run_graph.runtime.remote.translation import PromptEvents, Results
from run_graph.runtime.remote.uploads import Uploads

_TICK = 0.25  # seconds after which the token is looked at
_SILENCE = 2.0  # seconds after which the history is asked
_TO_STOP = 5.0  # seconds in which an interrupted prompt may say where it stopped


def run_prompts(
    prompts: Sequence[Prompt], address: Address, registry: Registry, on_event: Listener, token: Token
) -> Results:
    """Send prompts to a server and wait for them; their files are fetched into their output folders.

    Parameters
    ----------
    prompts : sequence of Prompt
        All are queued before the first is waited for.
    address : Address
    registry : Registry
        The classes that are known here; the server may know others.
    on_event : callable
        Gets the events of the run, as far as the server's messages tell them.
    token : Token
        Lets another thread stop the run.

    Raises
    ------
    WorkflowError
        If the server refuses a prompt; none of them runs then.
    NodeFailed
        If a node failed on the server; the prompts after it do not run.
    Cancelled
        If the token stopped the run. Its prompts are interrupted on the server, as on KeyboardInterrupt.
    ServerError
        If the server cannot be used or has ended.
    SaveError
        If a file cannot be written here.
    """
    began, status = time.perf_counter(), "failed"

    def note(message: str) -> None:
        on_event(WorkerNote(address.url, message))

    with ServerApi(address) as api:
        api.check()
        uploads = Uploads(api)
        ready = [prompt.ready(registry, uploads) for prompt in prompts]
        with Messages(address, note) as messages:
            run = _Run(ready, api, messages, registry, on_event, token)
            run.queue()
            try:
                on_event(run.beginning())
                run.follow()
                status = "done"
            except (Cancelled, KeyboardInterrupt):
                status = "interrupted"
                run.interrupt()
                raise
            except ServerGone:
                raise  # its prompts go on when it comes back
            except BaseException:
                run.stop()
                raise
            finally:
                on_event(RunFinished(status, time.perf_counter() - began))
    return run.results


@dataclass
class _Run:
    prompts: Sequence[Prompt]
    api: ServerApi
    messages: Messages
    registry: Registry
    emit: Listener
    token: Token
    results: Results = field(default_factory=Results)
    current: tuple[Prompt, PromptEvents] | None = None

    def queue(self) -> None:
        """Send all prompts. If one is refused, those before it are taken back."""
        for prompt in self.prompts:
            try:
                errors = self.api.queue(prompt.document(self.messages.client, self.registry))
            except Refusal as refusal:
                self.stop()
                raise WorkflowError(faults_of(refusal.document, prompt.workflow), prompt.source) from None
            except BaseException:
                self.stop()
                raise
            if errors.get("node_errors"):  # some of its outputs would run
                self.stop()
                raise WorkflowError(faults_of(errors, prompt.workflow), prompt.source)

    def beginning(self) -> RunStarted:
        """The event with the number of nodes, those that prompts share counted once."""
        nodes: dict[str, None] = {}
        targets: dict[str, None] = {}
        for prompt in self.prompts:
            wanted = prompt.targets(self.registry)
            nodes |= dict.fromkeys(map(prompt.place, prompt.workflow.ancestors(wanted)))
            targets |= dict.fromkeys(map(prompt.place, wanted))
        return RunStarted(len(nodes), tuple(targets))

    def follow(self) -> None:
        """Wait for the prompts, one after another. Raises as `run_prompts` does."""
        for prompt in self.prompts:
            targets = prompt.targets(self.registry)
            self.current = prompt, PromptEvents(prompt, targets, self.api, self.emit, self.results)
            try:
                self._wait(self.token.raise_if_cancelled, math.inf)
            except ServerGone:
                raise ServerGone(
                    f"{self.api.address.url} ended while it had prompt {prompt.id}, which stays in its "
                    "queue; start the server again, then run the same command again: what is finished is not "
                    "computed again"
                ) from None

    def interrupt(self) -> None:
        """Stop the prompts, and hear from the server where the running one stopped."""
        self.stop()
        with suppress(Exception):  # the run is over in any case
            self._wait(lambda: None, _TO_STOP)

    def stop(self) -> None:
        """Interrupt or take back all prompts, if the server still answers."""
        with suppress(ServerError):
            self.api.stop([prompt.id for prompt in self.prompts])

    def _wait(self, check: Callable[[], None], seconds: float) -> None:
        """Hear messages until the present prompt has ended, but no longer than so many seconds."""
        if self.current is None:
            return
        prompt, events = self.current
        began = heard = time.monotonic()
        while not events.ended and time.monotonic() - began < seconds:
            check()
            message = self.messages.next(_TICK, check)
            if message is not None and message["data"].get("prompt_id") == prompt.id:
                heard = time.monotonic()
                events.hear(message["type"], message["data"])
            elif message is None and time.monotonic() - heard > _SILENCE:
                with suppress(ServerGone):  # the messages' connection will end too
                    self._look_up(prompt, events)
                heard = time.monotonic()

    def _look_up(self, prompt: Prompt, events: PromptEvents) -> None:
        """After a silence: has the prompt ended meanwhile? Messages may have been lost."""
        is_queued = self.api.is_queued(prompt.id)  # asked first: it is in the history before it leaves
        if (entry := self.api.history(prompt.id)) is not None:
            events.catch_up(entry)
        elif not is_queued:
            raise ServerError(
                f"{self.api.address.url} no longer has prompt {prompt.id}: it was deleted there; run it again"
            )
