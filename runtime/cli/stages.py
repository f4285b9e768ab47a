"""What a display knows of the nodes of a run before it begins: class, title, and what they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from run_graph.graph.workflow import Workflow


class Detail(IntEnum):
    """How much a command says on standard error. Errors, and paths on standard output, are always printed."""

    QUIET = 0
    """Nothing else."""
    NORMAL = 1
    """Warnings, downloads and progress."""
    VERBOSE = 2
    """Every stage with its key, where its result came from, its seconds and its memory."""


@dataclass(frozen=True)
class Stage:
    """A node of the run: its class, its title if it has one, and the nodes that it reads."""

    class_type: str
    title: str | None = None
    sources: tuple[str, ...] = ()


Stages = Mapping[str, Stage]
"""By the ids that events use."""


def stages_of(workflow: Workflow, place: Callable[[str], str] = lambda node_id: node_id) -> dict[str, Stage]:
    """The stages of a workflow; ``place`` gives a node's id in events."""
    return {
        place(node_id): Stage(
            spec.class_type, spec.title, tuple(place(link.node_id) for _, link in spec.links())
        )
        for node_id, spec in workflow.nodes.items()
    }


def title_of(node_id: str, stages: Stages) -> str:
    """What a node is called before its id: its title, or else its class."""
    stage = stages.get(node_id)
    return (stage.title or stage.class_type) if stage else ""
