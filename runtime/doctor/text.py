"""The findings of the self-test for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from run_graph.runtime.doctor.agreement import Agreement
from run_graph.runtime.doctor.examination import Examination
from run_graph.runtime.doctor.machine import Machine
from run_graph.runtime.doctor.models import PRECISIONS, FileState, ModelState, Part
from run_graph.runtime.doctor.places import Folder, Hub
from run_graph.runtime.doctor.speed import Speed
from run_graph.runtime.models.library.contents import KINDS
from run_graph.runtime.units import bytes_text, duration_text

# The stage that loads each part; parts of one stage are loaded one after the other.
_STAGES = {
    "text_encoder_2": "prompt (T5)",
    "text_encoder": "prompt (CLIP)",
    "image_encoder": "reference picture (SigLIP)",
    "image_embedder": "reference picture (Redux)",
    "transformer": "sampling (transformer)",
    "vae": "decoding (autoencoder)",
}
_INDENT = "  "
_PRECISIONS = ["none" if bits is None else f"{bits} bits" for bits in PRECISIONS]
_TIGHT = "tight"


def lines(found: Examination) -> Iterator[str]:
    """The findings, section by section, and at the end what is off."""
    yield from _machine(found.machine)
    yield ""
    yield from _agreements(found.agreements, found.machine)
    yield ""
    yield from _speed(found.speed)
    yield ""
    yield from _models(found.models, found.machine.budget)
    yield ""
    if found.files and not isinstance(found.files, str):
        yield from _files(found.files, found.machine.budget)
        yield ""
    yield from _places(found.folders, found.hub)
    yield ""
    faults = list(found.faults())
    if not faults:
        yield "Everything is as it should be."
        return
    yield f"{len(faults)} {'thing is' if len(faults) == 1 else 'things are'} off:"
    yield from (f"{_INDENT}{fault}" for fault in faults)


def _machine(machine: Machine) -> Iterator[str]:
    names = [f"{name} {held}" for name, held in machine.versions.items()]
    yield "This machine"
    yield from _table(
        [
            ("versions", ", ".join(names)),
            ("system", machine.system),
            ("device", f"{machine.device}, weights in {machine.dtype}"),
            ("memory", f"{bytes_text(machine.memory)}; models may use {bytes_text(machine.budget)}"),
        ]
    )


def _agreements(agreements: Sequence[Agreement], machine: Machine) -> Iterator[str]:
    yield f"What the built-in model computes here in {machine.dtype}, compared with what is stored"
    rows = [
        (each.name, f"{each.error:.2g}", f"{each.allowed:g}", "ok" if each.ok else "OFF")
        for each in agreements
    ]
    yield from _table([("", "worst error", "allowed", ""), *rows])
    yield f"{_INDENT}Errors are shares of a network's largest value, and steps of 1/255 of a picture."


def _speed(speed: Speed) -> Iterator[str]:
    yield "Speed"
    yield from _table(
        [
            ("tiny, 96 x 96", f"{speed.tiny_step:.4f} s a step"),
            (
                "FLUX.1, 1024 x 1024",
                f"at least {_seconds(speed.flux_step)} a step: a layer of its width runs at "
                f"{speed.layer_flops / 1e12:.2f} TFLOP/s",
            ),
        ]
    )


def _models(models: Sequence[ModelState], budget: int) -> Iterator[str]:
    yield "Models"
    yield from _table([(model.name, model.state) for model in models])
    here = [model for model in models if model.state in ("here", "partly here")]
    shown = here or [model for model in models if model.name in ("dev", "dev-redux")]
    for model in shown:
        yield ""
        yield f"Memory that {model.name} takes, stage by stage, with `quantize`; {bytes_text(budget)} fit"
        rows = [(_STAGES[part.component], *_fits(part, budget)) for part in model.parts]
        yield from _table([("", *_PRECISIONS), *rows])
    if any(_TIGHT in cell for model in shown for part in model.parts for cell in _fits(part, budget)):
        yield f"{_INDENT}{_TIGHT}: with the modulation layers let go before the blocks are loaded"


def _files(files: Sequence[FileState], budget: int) -> Iterator[str]:
    yield "Files in your folders, and the memory that they take with `quantize`"
    rows = [
        (state.file.file.name, KINDS[part.component], *_fits(part, budget))
        for state in files
        for part in state.parts
    ]
    loras = [
        (state.file.file.name, state.file.kind, *[""] * len(PRECISIONS)) for state in files if not state.parts
    ]
    yield from _table([("", "", *_PRECISIONS), *rows, *loras])


def _places(folders: Sequence[Folder], hub: Hub) -> Iterator[str]:
    yield "Folders and the Hub"
    yield from _table(
        [
            (
                folder.what,
                f"{folder.path}, {bytes_text(folder.free)} free{'' if folder.writable else ', OFF'}",
            )
            for folder in folders
        ]
        + [("Hub", f"{hub.login}: {hub.detail}")]
    )


def _fits(part: Part, budget: int) -> list[str]:
    """What a part takes in each precision, and whether that is too much."""
    cells = []
    for bits in PRECISIONS:
        whole, least = part.nbytes[bits], part.least[bits]
        if whole <= budget:
            cells.append(bytes_text(whole))
        else:
            cells.append(f"{bytes_text(least)}, {_TIGHT if least <= budget else 'too large'}")
    return cells


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else duration_text(seconds)


def _table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows with aligned columns, indented."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield (_INDENT + _INDENT.join(cells)).rstrip()
