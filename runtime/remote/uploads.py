"""The pictures that a workflow names, sent to the server under names that follow from their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from run_graph.graph.declaration import inputs_of
from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.files.bounds import OutOfBoundsError
from run_graph.runtime.remote.api import ServerApi

_STEM = 60  # characters of the file's own name that are kept
_DIGEST = 20  # hexadecimal digits: 80 bits


class Uploads:
    """Sends each content once.

    Parameters
    ----------
    api : ServerApi
    """

    def __init__(self, api: ServerApi) -> None:
        self._api = api
        self._sent: dict[str, str] = {}

    def in_place_of_files(
        self, workflow: Workflow, registry: Registry, find_input: Callable[[str], Path]
    ) -> Workflow:
        """The workflow with the uploads' names in place of the files' names.

        A name that no file here has stays as it is: it may be one of the server's files.

        Raises
        ------
        WorkflowError
            If a file may not be read.
        """
        for node_id, spec in workflow.nodes.items():
            declared = inputs_of(registry[spec.class_type]) if spec.class_type in registry else {}
            for name, value in spec.inputs.items():
                if name not in declared or not declared[name].hints.get("image_upload"):
                    continue
                if not isinstance(value, str):
                    continue
                try:
                    stored = self._stored(find_input(value))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    fix = "Name another file." if isinstance(error, OutOfBoundsError) else "Make it readable."
                    code = "custom_validation_failed"
                    fault = Fault(code, str(error), fix, node_id, spec.class_type, name)
                    raise WorkflowError([fault]) from None
                workflow = workflow.with_input(node_id, name, stored)
        return workflow

    def _stored(self, path: Path) -> str:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._sent:
            stem = re.sub(r"[^\w.-]+", "_", path.stem)[:_STEM]
            name = f"{stem}-{digest[:_DIGEST]}{path.suffix}"
            known = self._api.has_upload(name, len(content))
            self._sent[digest] = name if known else self._api.upload(name, content)
        return self._sent[digest]
