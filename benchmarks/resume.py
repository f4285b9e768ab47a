"""Runs killed at random moments: what they leave behind, and whether the same command resumes them.

This is a stress test, not a comparison: it fails if anything is lost, half-written, left over or different.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Section, Table
from benchmarks.small import make_small_model
from run_graph.runtime.cache.blob_store import SNAPSHOTS

WORKFLOWS = Path(__file__).parent.parent / "workflows"
KILLS, QUICK_KILLS = 30, 6
SEEDS = (1, 2)

_TEXT = """\
`workflows/redux.json` with two seeds, killed by SIGKILL at a random moment, then run again by the same
command until it is done. Checked each time: right after the kill, every picture in the output folder is
complete; at the end there is one picture per seed, its pixels equal those of a run that was never killed, and
neither the output folder nor the cache contains a temporary file or resume state. *steps kept* counts the
sampling steps that the second run did not have to repeat.
"""


@dataclass(frozen=True)
class Trial:
    """When the run was killed (seconds), what was finished by then, and what was kept of the rest."""

    killed_after: float
    pictures: int
    nodes_reused: int
    steps_kept: int


def measure(quick: bool) -> Section:
    """Kill and resume runs; raises AssertionError if a check fails."""
    kills = QUICK_KILLS if quick else KILLS
    with tempfile.TemporaryDirectory() as folder:
        seconds, trials = _trials(Path(folder), kills, steps=40 if quick else 8, small=quick)
    resumed = sum(trial.steps_kept > 0 for trial in trials)
    rows = [
        ["kills", f"{kills}, over {seconds:.1f} s"],
        ["bit-identical pictures", f"{kills * len(SEEDS)} of {kills * len(SEEDS)}"],
        ["found half-written, left over, or made twice", "0"],
        ["runs resumed in the middle of sampling", str(resumed)],
        ["steps kept in these runs", str(sum(t.steps_kept for t in trials))],
        ["results reused, on average", f"{sum(t.nodes_reused for t in trials) / kills:.1f}"],
    ]
    return Section("Killed and resumed", _TEXT, [Table(["", ""], rows)], ["mlx", "mflux"])


def _trials(folder: Path, kills: int, *, steps: int, small: bool) -> tuple[float, list[Trial]]:
    _import_everything()
    command = _command(folder, steps, small)
    _finish([*command, "--no-cache"], folder / "warm", "the first run")
    started = time.perf_counter()
    _finish([*command, "--cache-dir", "cache"], folder / "whole", "an undisturbed run")
    seconds = time.perf_counter() - started
    expected = _pixels(folder / "whole" / "output")
    moments = random.Random(0)
    return seconds, [
        _trial(command, folder / f"trial-{number}", moments.uniform(0, seconds), expected)
        for number in range(kills)
    ]


def _trial(command: Sequence[str], folder: Path, moment: float, expected: dict[str, bytes]) -> Trial:
    argv = [*command, "--cache-dir", "cache"]
    process = _start(argv, folder)
    time.sleep(moment)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    finished = len(_pixels(folder / "output"))  # opens each: none is half-written
    done = finished == len(SEEDS) and not list((folder / "cache" / SNAPSHOTS).glob("*"))
    if not done:
        _finish([*argv, "--json"], folder, "a resumed run")
        assert _pixels(folder / "output") == expected, f"other pictures after a kill at {moment:.3f} s"
    left = [path for path in folder.rglob("*") if path.name.endswith(".tmp") or path.parent.name == SNAPSHOTS]
    assert not left, f"left over after a kill at {moment:.3f} s: {left}"
    events = [] if done else [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    kept = [e["value"] for e in _first_progress(events)]
    trial = Trial(moment, finished, sum(e["event"] == "node_reused" for e in events), sum(kept))
    shutil.rmtree(folder)
    return trial


def _first_progress(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The first progress event of each node that reports steps."""
    seen = set()
    for event in events:
        if event["event"] == "node_progress" and event["node_id"] not in seen:
            seen.add(event["node_id"])
            yield event


def _command(folder: Path, steps: int, small: bool) -> list[str]:
    """The arguments of run-graph."""
    settings: dict[str, object] = {"sample.steps": steps}
    if small:
        model = make_small_model(folder / "small")
        settings |= {"flux.model": model, "redux.model": model, "sample.width": 32, "sample.height": 32}
    options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    seeds = ",".join(map(str, SEEDS))
    return [str(WORKFLOWS / "redux.json"), *options, "--sweep", f"sample.seed={seeds}"]


def _import_everything() -> None:
    """Import what a run imports, once for all the forked processes; nothing is computed yet."""
    import mlx.nn  # noqa: F401

    import run_graph.runtime.cache.disk
    import run_graph.runtime.cli.command
    import run_graph.runtime.images.writing
    import run_graph.runtime.models.loading
    import run_graph.runtime.models.text
    import run_graph.runtime.networks.siglip
    import run_graph.runtime.networks.transformer
    import run_graph.runtime.networks.vae  # noqa: F401


def _start(argv: Sequence[str], folder: Path) -> int:
    """Start ``run-graph`` in a separate process and return its id."""
    from run_graph.runtime.cli.main import main

    folder.mkdir(parents=True, exist_ok=True)
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.chdir(folder)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = main(argv)
    finally:
        with contextlib.suppress(Exception):
            for stream in (1, 2):
                os.fsync(stream)
        _flush()
        os._exit(code)


def _flush() -> None:
    import sys

    sys.stdout.flush()
    sys.stderr.flush()


def _finish(argv: Sequence[str], folder: Path, what: str) -> None:
    process = _start(argv, folder)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code == 0, f"{what} ended with {code}:\n{(folder / 'log').read_text()[-2000:]}"


def _pixels(folder: Path) -> dict[str, bytes]:
    """The pixels of each picture in a folder, by its name."""
    from PIL import Image

    found = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            found[path.name] = picture.convert("RGB").tobytes()
    return found
