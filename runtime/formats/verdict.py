"""Whether a workflow file can run here, and if not, what it lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from run_graph.graph.effect_list import effects_of_nodes
from run_graph.graph.faults import Fault, WorkflowError, listed
from run_graph.graph.packs import COMFYUI_ITSELF, pack_of
from run_graph.graph.registry import Registry
from run_graph.graph.third_party import described
from run_graph.graph.validation import Checked, check
from run_graph.graph.workflow import Workflow
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.formats.source import Source
from run_graph.runtime.models.hub import is_offline
from run_graph.runtime.models.node_roles import model_inputs
from run_graph.runtime.units import bytes_text

Outcome = Literal["runs", "runs with warnings", "cannot run"]
ReasonKind = Literal["model", "picture", "option", "file"]

_LABELS: Mapping[ReasonKind, str] = {
    "model": "missing model",
    "picture": "missing picture",
    "option": "unsupported",
    "file": "fault",
}


@dataclass(frozen=True)
class MissingClass:
    """A class that nodes of a file need and that does not exist; ``pack`` has it, if that is known."""

    class_type: str
    nodes: int
    pack: str | None
    fix: str

    def text(self) -> str:
        """``missing class 'ImageResize+' (3 nodes), from cubiq/ComfyUI_essentials``."""
        name = f"class {self.class_type!r}" if self.class_type else "class_type"
        return f"missing {name} ({counted(self.nodes, 'node')}), {self._where()}"

    def _where(self) -> str:
        if self.pack:
            return f"from {pack_name(self.pack)}"
        return self.fix if self.fix.startswith("Did you mean") else "from a package that is not known here"


@dataclass(frozen=True)
class Reason:
    """Something else that prevents a file from running; ``name`` is that of a missing model or picture."""

    kind: ReasonKind
    fault: Fault
    name: str | None = None

    def text(self) -> str:
        """What is wrong, where, and what to do."""
        return f"{_LABELS[self.kind]}: {self.fault}"


@dataclass(frozen=True)
class Verdict:
    """What is known about a file before it runs.

    Attributes
    ----------
    missing : tuple of MissingClass
        Most frequent first.
    reasons : tuple of Reason
        What else prevents it from running.
    warnings : tuple of str
        What the user should know although it runs: what was changed while the file was read, nodes that are
        left out, models that would be downloaded.
    """

    missing: tuple[MissingClass, ...] = ()
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The verdict in words."""
        if self.missing or self.reasons:
            return "cannot run"
        return "runs with warnings" if self.warnings else "runs"

    def lines(self) -> Iterator[str]:
        """Why, one line each."""
        for missing in self.missing:
            yield missing.text()
        for reason in self.reasons:
            yield reason.text()
        for warning in self.warnings:
            yield f"note: {warning}"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return {
            "verdict": self.outcome,
            "missing_classes": [asdict(each) for each in self.missing],
            "reasons": [
                {"kind": each.kind, "name": each.name, **asdict(each.fault)} for each in self.reasons
            ],
            "warnings": list(self.warnings),
        }


def verdict_of(source: Source, registry: Registry, environment: RunEnvironment) -> Verdict:
    """Check a workflow as it was read. Never raises because of the file."""
    checked = check(source.workflow, registry, env=environment)
    absent = [fault for fault in checked.faults if fault.code == "missing_node_type"]
    others = [fault for fault in checked.faults if fault.code != "missing_node_type"]
    left_out = list(_left_out(checked))
    reasons = [_reason(fault, source.workflow, registry) for fault in others]
    downloads = list(_downloads(checked, environment))
    if is_offline():
        reasons += [Reason("model", _not_here(text)) for text in downloads]
        downloads = []
    return Verdict(
        tuple(_missing(absent, source.workflow)), tuple(reasons), (*source.notes, *left_out, *downloads)
    )


def unreadable(error: Exception) -> Verdict:
    """The verdict on a file that could not be read or checked because of an error."""
    if isinstance(error, WorkflowError):
        return Verdict(reasons=tuple(Reason("file", fault) for fault in error.faults))
    fault = Fault("unreadable", f"it cannot be checked: {described(error)}", "Is the file complete?")
    return Verdict(reasons=(Reason("file", fault),))


def pack_name(pack: str) -> str:
    """A package as messages name it."""
    return "ComfyUI itself" if pack == COMFYUI_ITSELF else pack


def counted(count: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _missing(faults: Iterable[Fault], workflow: Workflow) -> list[MissingClass]:
    by_class: dict[str, list[Fault]] = {}
    for fault in faults:
        by_class.setdefault(fault.class_type or "", []).append(fault)
    found = []
    for class_type, of_class in by_class.items():
        packs = (workflow.nodes[fault.node_id or ""].pack for fault in of_class)
        written = next(filter(None, packs), None)
        found.append(MissingClass(class_type, len(of_class), pack_of(class_type, written), of_class[0].fix))
    return sorted(found, key=lambda each: (-each.nodes, each.class_type))


def _left_out(checked: Checked) -> Iterator[str]:
    """One line about all nodes that would be left out."""
    counts = Counter(fault.class_type or "(no class_type)" for fault in checked.left_out)
    if counts:
        classes = listed(f"{name} ({count})" for name, count in counts.most_common())
        yield f"left out, because no output needs them and their classes do not exist: {classes}"


def _reason(fault: Fault, workflow: Workflow, registry: Registry) -> Reason:
    kind = _kind(fault, registry)
    spec = workflow.nodes.get(fault.node_id or "") if kind in ("model", "picture") else None
    name = spec.inputs.get(fault.input or "") if spec is not None else None
    return Reason(kind, fault, name if isinstance(name, str) else None)


def _kind(fault: Fault, registry: Registry) -> ReasonKind:
    node_class = registry.get(fault.class_type or "")
    if node_class is None or fault.input is None:
        return "file"
    if fault.code == "custom_validation_failed":
        if fault.input in model_inputs(node_class):
            return "model"
        field = node_class.model_fields.get(fault.input)
        extra = field.json_schema_extra if field is not None else None
        if isinstance(extra, Mapping) and extra.get("image_upload"):
            return "picture"
    return "option"


def _downloads(checked: Checked, environment: RunEnvironment) -> Iterator[str]:
    """The models that are not on this machine, each once, and where they are."""
    found: dict[str, str] = {}
    for effect in effects_of_nodes(checked.nodes, environment):
        if effect.kind == "download":
            size = "size unknown" if effect.size is None else f"about {bytes_text(effect.size)}"
            text = f"{effect.target} is not on this machine and would be downloaded, {size}"
            found.setdefault(effect.target, f"node {effect.node_id!r}: {text}")
    yield from found.values()


def _not_here(text: str) -> Fault:
    return Fault("custom_validation_failed", text, "Leave out --offline, or name another model.")
