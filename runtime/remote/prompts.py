"""What is sent to a server: one prompt, and how its nodes are called here."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from run_graph.graph.declaration import inputs_of
from run_graph.graph.faults import Fault, WorkflowError, listed
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.provenance import carried_documents
from run_graph.runtime.remote.uploads import Uploads


@dataclass(frozen=True)
class Prompt:
    """One prompt.

    Attributes
    ----------
    workflow : Workflow
    environment : RunEnvironment
        Where its pictures are found, and where results go.
    chosen : tuple of str, optional
        The output nodes that are wanted. Default: all.
    places : mapping
        The id of each node in events. Default: its own.
    source : str, optional
        The file that it came from, for messages.
    id : str
        A UUID: the same prompt sent again under it runs once.
    """

    workflow: Workflow
    environment: RunEnvironment
    chosen: tuple[str, ...] | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def place(self, node_id: str) -> str:
        """The id of a node in events."""
        return self.places.get(node_id, node_id)

    def targets(self, registry: Registry) -> tuple[str, ...]:
        """The nodes whose results are wanted: those chosen, or all that are known as output nodes."""
        if self.chosen is not None:
            return self.chosen
        return tuple(
            node_id
            for node_id, spec in self.workflow.nodes.items()
            if spec.class_type in registry and registry[spec.class_type].is_output
        )

    @property
    def output_directory(self) -> Path:
        """Where results go."""
        return Path(self.environment.output_directory)

    def ready(self, registry: Registry, uploads: Uploads) -> Prompt:
        """The prompt as it is sent: defaults written out, which servers want, and pictures uploaded.

        Raises
        ------
        WorkflowError
            If a chosen node is no output node, or a picture may not be read.
        ServerError
            If the server does not take an upload.
        """
        try:
            self._check_chosen(registry)
            full = _with_defaults(self.workflow, registry)
            sent = uploads.in_place_of_files(full, registry, self.environment.find_input)
        except WorkflowError as error:
            raise WorkflowError(error.faults, self.source) from None
        return replace(self, workflow=sent)

    def document(self, client: str, registry: Registry) -> dict[str, Any]:
        """The body of ``POST /prompt``."""
        document: dict[str, Any] = {
            "prompt": self.workflow.to_json(),
            "prompt_id": self.id,
            "client_id": client,
        }
        if all(spec.class_type in registry for spec in self.workflow.nodes.values()):
            carried = carried_documents(self.workflow, registry, self.environment)
            document["extra_data"] = {"extra_pnginfo": dict(carried)}
        if self.chosen is not None:
            document["partial_execution_targets"] = list(self.chosen)
        return document

    def _check_chosen(self, registry: Registry) -> None:
        outputs = replace(self, chosen=None).targets(registry)
        faults = [
            Fault(
                "target_not_an_output",
                "a server runs output nodes only",
                f"The output nodes are {listed(outputs)}." if outputs else "Add a SaveImage node.",
                node_id,
                self.workflow.nodes[node_id].class_type if node_id in self.workflow.nodes else None,
            )
            for node_id in self.chosen or ()
            if node_id not in outputs
        ]
        if faults:
            raise WorkflowError(faults)


def _with_defaults(workflow: Workflow, registry: Registry) -> Workflow:
    nodes = {}
    for node_id, spec in workflow.nodes.items():
        declared = inputs_of(registry[spec.class_type]) if spec.class_type in registry else {}
        defaults = {
            name: each.default
            for name, each in declared.items()
            if name not in spec.inputs and isinstance(each.default, str | int | float)
        }
        nodes[node_id] = replace(spec, inputs={**spec.inputs, **defaults})
    return Workflow(nodes)
