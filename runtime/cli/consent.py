"""What a workflow that came in a picture may do, and asking the user where it wants more.

Such a workflow may be a stranger's. It runs within bounds: it reads files in the picture's folder and in the
working directory, and uses models that are already here. What the user has set on the command line is the
user's own wish and is not asked about.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from run_graph.graph.effect_list import effects_of
from run_graph.graph.effects import Effect
from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.options import PermissionOptions
from run_graph.runtime.cli.terminal import print_message, visible
from run_graph.runtime.engine.job import Job
from run_graph.runtime.files.bounds import Bounds
from run_graph.runtime.units import bytes_text

Confirm = Callable[[Sequence[str]], bool]
"""Shows lines of text and asks whether to go on."""

IsOwn = Callable[[Effect], bool]

_VERBS = {
    "read": "read",
    "model": "use",
    "write": "write into",
    "download": "download",
    "package": "run node package",
}


@dataclass(frozen=True)
class Permitted:
    """A job within its bounds, and whether it may download."""

    job: Job
    downloads: bool


def permitted(
    job: Job,
    picture: Path,
    is_own: IsOwn,
    permissions: PermissionOptions,
    registry: Registry,
    confirm: Confirm | None = None,
) -> Permitted:
    """The job of a workflow from a picture, within what it may do.

    Parameters
    ----------
    job : Job
    picture : Path
        The file that the workflow came in.
    is_own : callable
        Whether the input of the job that an effect comes from was set by the user.
    permissions : PermissionOptions
    registry : Registry
    confirm : callable, optional
        Asks the user. Default: on the terminal; where there is none, the answer is no.

    Raises
    ------
    WorkflowError
        With everything that the workflow may not do.
    """
    effects = list(dict.fromkeys(effects_of(job.workflow, registry, job.environment, job.targets)))
    own = [effect for effect in effects if effect.input is not None and is_own(effect)]
    foreign = [effect for effect in effects if effect not in own]
    bounds = Bounds((picture.absolute().parent, Path.cwd(), *permissions.allow_read))
    bounds = bounds.and_also(effect.target for effect in own if effect.kind == "read")
    wanted = [effect for effect in foreign if _is_beyond(effect, bounds, permissions)]
    if wanted:
        lines = [f"{picture} carries a workflow that would", *(f"  {line(each)}" for each in wanted)]
        if not (confirm or _ask)(lines):
            raise WorkflowError([_refusal(effect) for effect in wanted], str(picture))
        bounds = bounds.and_also(effect.target for effect in wanted if effect.kind == "read")
    downloads = permissions.allow_download or any(each.kind == "download" for each in (*own, *wanted))
    return Permitted(replace(job, environment=replace(job.environment, bounds=bounds)), downloads)


def line(effect: Effect) -> str:
    """An effect in words: ``read cat.png (photo.image)``."""
    place = ".".join(filter(None, (effect.node_id, effect.input)))
    size = "" if effect.kind != "download" else ", " + _size(effect.size)
    return f"{_VERBS[effect.kind]} {_short(effect)}{size} ({place})"


def summary(effects: Iterable[Effect]) -> list[str]:
    """Effects in words, each target once."""
    once: dict[tuple[str, str], Effect] = {}
    for effect in effects:
        once.setdefault((effect.kind, effect.target), effect)
    return [line(effect) for effect in once.values()]


def differs(effect: Effect, job: Job, given: Workflow) -> bool:
    """Whether an effect comes from an input with another value than in the workflow as given."""
    node_id, name = effect.node_id or "", effect.input or ""
    original = (job.originals or {}).get(node_id, node_id)
    before = given.nodes[original].inputs.get(name) if original in given.nodes else None
    return before != job.workflow.nodes[node_id].inputs.get(name)


def _is_beyond(effect: Effect, bounds: Bounds, permissions: PermissionOptions) -> bool:
    if effect.kind == "download":
        return not permissions.allow_download
    return effect.kind == "read" and not bounds.cover(effect.target)


def _refusal(effect: Effect) -> Fault:
    place = f"{effect.node_id}.{effect.input}"
    if effect.kind == "download":
        message = f"the picture's workflow would download {effect.target}, {_size(effect.size)}"
        fix = f"Allow it with --allow-download, or name another model: --set {place}=tiny."
    else:
        path = os.path.realpath(effect.target)
        message = f"the picture's workflow would read {path}, outside its folder and the working directory"
        allow = f"--allow-read {os.path.dirname(path)}"
        fix = f"Allow it with {allow}, or name another file: --set {place}=FILE."
    return Fault("not_allowed", message, fix, effect.node_id, None, effect.input)


def _short(effect: Effect) -> str:
    """What an effect is about: a path without detours, relative to the working directory if it is below."""
    if effect.kind not in ("read", "model", "write"):
        return effect.target
    path, here = Path(os.path.realpath(effect.target)), os.path.realpath(os.curdir)
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _size(size: int | None) -> str:
    return "size unknown" if size is None else f"about {bytes_text(size)}"


def _ask(lines: Sequence[str]) -> bool:
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    for text in lines:
        print_message(text)
    print(visible("run-graph: allow this? [y/N] "), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
