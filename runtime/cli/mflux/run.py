"""Runs an invocation in a session like any other; listeners do what mflux does with callbacks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from run_graph.graph.effects import Effect
from run_graph.graph.registry import installed_nodes
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cache.open import chosen_cache
from run_graph.runtime.cli.consent import Permitted, permitted
from run_graph.runtime.cli.ending import Ending
from run_graph.runtime.cli.log_details import log_details
from run_graph.runtime.cli.mflux.arguments import PROGRAM
from run_graph.runtime.cli.mflux.battery import BatteryGuard
from run_graph.runtime.cli.mflux.flags import Flags
from run_graph.runtime.cli.mflux.invocation import Invocation
from run_graph.runtime.cli.mflux.pictures import PictureNames
from run_graph.runtime.cli.mflux.stepwise import StepwisePictures
from run_graph.runtime.cli.options import PermissionOptions
from run_graph.runtime.cli.progress import display
from run_graph.runtime.cli.signals import SIGNALS, Interruptible
from run_graph.runtime.cli.stages import Detail, stages_of
from run_graph.runtime.cli.terminal import print_message
from run_graph.runtime.engine.context import CancelToken, RunEnvironment
from run_graph.runtime.engine.job import Job
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Event, StageMemory, each_of
from run_graph.runtime.files.atomic import write_atomically
from run_graph.runtime.files.digests import announced_by
from run_graph.runtime.models.hub import offline
from run_graph.runtime.models.store import ModelStore

_GIGABYTE = 1000**3


def run(invocation: Invocation, flags: Flags) -> int:
    """Save the graph if asked to, then run it, and print the path of each picture once it is written.

    Returns
    -------
    int
        MLX's peak memory in bytes.

    Raises
    ------
    WorkflowError, NodeFailed, SaveError
        As :meth:`runtime.engine.session.Session.run` does.
    Cancelled
        If the run was interrupted, or stopped because the battery was low; the message says which, and how to
        go on.
    """
    output, machine, workflow = flags.output, flags.machine, invocation.workflow
    if flags.verbose:
        log_details()
    if output.save_graph is not None:
        write_atomically(output.save_graph.expanduser(), workflow.dumps().encode(), overwrite=True)
    store = ModelStore(low_ram=machine.low_ram, cache_limit=_bytes(machine.mlx_cache_limit_gb))
    # A sampling stage whose result comes from the cache has no steps to show.
    no_cache = flags.cache.no_cache or output.stepwise_image_output_dir is not None
    cache = chosen_cache(no_cache, flags.cache.cache_dir, partial(print_message, program=PROGRAM))
    token, ending = CancelToken(), Ending(keeps_results=not no_cache)
    battery = BatteryGuard(machine.battery_percentage_stop_limit, token)
    steps, memory = _stepwise(workflow, output.stepwise_image_output_dir, store), PeakMemory()
    allowed = _within_bounds(invocation, flags.permissions)
    detail = Detail.VERBOSE if flags.verbose else Detail.NORMAL
    session = Session(installed_nodes(), cache, Services(store))
    try:
        with (
            Interruptible(token.cancel),
            offline(not allowed.downloads),
            announced_by(partial(print_message, program=PROGRAM)),
            display(stages_of(workflow), detail, program=PROGRAM) as shown,
        ):
            names = PictureNames(
                invocation.pictures, shown.print_result, embed=not output.no_exif, sidecar=output.metadata
            )
            session.run_together(
                [allowed.job],
                on_event=each_of(shown.on_event, battery, names, ending, steps, memory),
                token=token,
            )
    except (Cancelled, KeyboardInterrupt):
        raise Cancelled(ending.text(battery.reason or SIGNALS.how())) from None
    return memory.peak_bytes


def _within_bounds(invocation: Invocation, permissions: PermissionOptions) -> Permitted:
    """The job; with settings out of a picture, within what they may do."""
    workflow, recorded = invocation.workflow, invocation.recorded
    # Each picture then contains only the part of the graph that makes it, not the other seeds.
    originals = {node_id: node_id for node_id in workflow.nodes}
    job = Job(workflow, RunEnvironment(invocation.input_folders, invocation.output_folder), None, originals)
    if recorded.picture is None:
        return Permitted(job, downloads=True)

    def is_own(effect: Effect) -> bool:
        return not recorded.name(workflow.nodes[effect.node_id or ""].inputs.get(effect.input or ""))

    return permitted(job, recorded.picture, is_own, permissions, installed_nodes())


class PeakMemory:
    """A listener that keeps the largest peak of all stages, in bytes."""

    def __init__(self) -> None:
        self.peak_bytes = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageMemory):
            self.peak_bytes = max(self.peak_bytes, event.peak_bytes)


def _stepwise(workflow: Workflow, folder: Path | None, store: ModelStore) -> StepwisePictures | None:
    return None if folder is None else StepwisePictures(workflow, folder, store)


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * _GIGABYTE)
