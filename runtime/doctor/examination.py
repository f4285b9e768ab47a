"""Everything that the self-test finds out, and what of it is off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from run_graph.runtime.doctor.agreement import Agreement, compare
from run_graph.runtime.doctor.machine import Machine, this_machine
from run_graph.runtime.doctor.models import FileState, ModelState, found_files, known_models
from run_graph.runtime.doctor.places import Folder, Hub, hub, kept_folders
from run_graph.runtime.doctor.speed import Speed, measure
from run_graph.runtime.errors import ModelError


@dataclass(frozen=True)
class Examination:
    """The findings; `faults` says what is off. `files` is the reason if they could not be listed."""

    machine: Machine
    agreements: tuple[Agreement, ...]
    speed: Speed
    models: tuple[ModelState, ...]
    files: tuple[FileState, ...] | str
    folders: tuple[Folder, ...]
    hub: Hub

    def faults(self) -> Iterator[str]:
        """One sentence for each thing that is off."""
        for each in self.agreements:
            if not each.ok:
                yield (
                    f"{each.name}: this machine computes something else than is stored (worst error "
                    f"{each.error:.2g}; up to {each.allowed:g} is rounding). Please report this with "
                    "the output of run-graph --doctor --json."
                )
        for model in self.models:
            yield from (f"{model.name}: {fault}" for fault in model.faults)
        if isinstance(self.files, str):
            yield self.files
        for folder in self.folders:
            if not folder.writable:
                yield f"{folder.path} ({folder.what}) cannot be written to: check its owner and permissions."
        if self.hub.login == "refused":
            yield f"The Hub refuses this user: {self.hub.detail}."

    def to_json(self) -> dict[str, Any]:
        """The event of ``--doctor --json``."""
        faults, budget = list(self.faults()), self.machine.budget
        return {
            "event": "doctor",
            "ok": not faults,
            "faults": faults,
            "machine": asdict(self.machine),
            "agreements": [{**asdict(each), "ok": each.ok} for each in self.agreements],
            "speed": {**asdict(self.speed), "flux_step": self.speed.flux_step},
            "models": [model.to_json(budget) for model in self.models],
            "files": [] if isinstance(self.files, str) else [file.to_json(budget) for file in self.files],
            "folders": [asdict(folder) for folder in self.folders],
            "hub": asdict(self.hub),
        }


def examine(memory_limit: int | None = None) -> Examination:
    """Examine this machine; takes a few seconds. `memory_limit` replaces its budget (bytes)."""
    from run_graph.runtime.device import compute_dtype
    from run_graph.runtime.models.store import ModelStore

    store = ModelStore()
    machine = this_machine(memory_limit)
    agreements = tuple(compare(store, machine.dtype))
    return Examination(
        machine,
        agreements,
        measure(store),
        tuple(known_models(compute_dtype().size)),
        _files(compute_dtype().size),
        tuple(kept_folders()),
        hub(),
    )


def _files(float_bytes: int) -> tuple[FileState, ...] | str:
    try:
        return tuple(found_files(float_bytes))
    except ModelError as error:
        return str(error)
