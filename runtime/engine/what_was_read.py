"""Whether a node read the files with which it was planned.

A node's key names the content of the files that it reads, as the plan found them. Someone may save a photo
again between planning and reading. The result is then right for this run, but belongs under another key: kept
under the planned one, it would be found by every later run with the old photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from run_graph.graph.context import Environment
from run_graph.graph.fingerprint import own_text_and_links
from run_graph.graph.node import Node
from run_graph.graph.third_party import raise_if_interrupt
from run_graph.runtime.engine.context import NodeContext
from run_graph.runtime.engine.plan import Step


class _AsRead:
    """An environment in which files have the content that a node has read (:class:`graph.Environment`)."""

    def __init__(self, environment: Environment, reads: Mapping[str, str]) -> None:
        self._environment = environment
        self._reads = reads
        self.asked: set[str] = set()

    @property
    def output_directory(self) -> Path:
        return self._environment.output_directory

    def find_input(self, name: str) -> Path:
        return self._environment.find_input(name)

    def find_model(self, name: str) -> Path:
        return self._environment.find_model(name)

    def digest_of_input(self, name: str) -> str:
        self.asked.add(name)
        read = self._reads.get(name)
        return self._environment.digest_of_input(name) if read is None else read


def read_as_planned(step: Step, context: NodeContext) -> bool:
    """Whether the result of a node that has just run, with this context, belongs under its planned key.

    It does not if the node's fingerprint is another one now, or does not name all that it has read, such as a
    file whose name came by a link.
    """
    node, reads = step.node, context.reads
    if type(node).fingerprint is Node.fingerprint:
        return not reads
    now = _AsRead(context.run.environment_of(step.node_id), reads)
    try:
        own, _ = own_text_and_links(node, node.fingerprint(now))
    except BaseException as error:  # a file that has vanished since, for example
        raise_if_interrupt(error)
        return False
    return own == step.own and reads.keys() <= now.asked
