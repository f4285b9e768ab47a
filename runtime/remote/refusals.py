"""A server's answer to a prompt that is wrong, as the faults of the workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from run_graph.graph.faults import Fault
from run_graph.graph.workflow import Workflow

_FIX = "Correct it, or run it here, without --server."


def faults_of(document: Mapping[str, Any], workflow: Workflow) -> list[Fault]:
    """The faults in ComfyUI's error JSON, each at its node and input; at least one.

    Parameters
    ----------
    document : mapping
        With ``error`` and, by node id, ``node_errors``.
    workflow : Workflow
        As it was sent.
    """
    found = list(_of_nodes(document.get("node_errors"), workflow))
    return found or [_of_prompt(document.get("error"))]


def _of_nodes(errors: Any, workflow: Workflow) -> Iterator[Fault]:
    for node_id, told in errors.items() if isinstance(errors, dict) else ():
        spec = workflow.nodes.get(node_id)
        for error in told.get("errors", []):
            extra = error.get("extra_info") or {}
            yield Fault(
                str(error.get("type", "refused")),
                f"the server says: {_text(error)}",
                extra.get("fix") or _FIX,
                node_id,
                spec.class_type if spec else told.get("class_type"),
                extra.get("input_name"),
            )


def _of_prompt(error: Any) -> Fault:
    if not isinstance(error, dict):
        return Fault("refused", f"the server says: {error}", _FIX)
    extra = error.get("extra_info") or {}
    return Fault(
        str(error.get("type", "refused")),
        f"the server says: {_text(error)}",
        _FIX,
        extra.get("node_id"),
        extra.get("class_type"),
    )


def _text(error: Mapping[str, Any]) -> str:
    texts = (str(error.get(name) or "") for name in ("message", "details"))
    return ": ".join(text.rstrip(".") for text in texts if text)
