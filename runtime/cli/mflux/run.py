"""Running a job: a session like any other, with listeners for what mflux did by callbacks."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from run_graph.graph.registry import installed_nodes
from run_graph.runtime.cache.open import chosen_cache
from run_graph.runtime.cli.mflux.arguments import PROGRAM
from run_graph.runtime.cli.mflux.battery import BatteryGuard
from run_graph.runtime.cli.mflux.invocation import Job
from run_graph.runtime.cli.mflux.pictures import PictureNames
from run_graph.runtime.cli.mflux.stepwise import StepwisePictures
from run_graph.runtime.cli.progress import listener
from run_graph.runtime.cli.terminal import say
from run_graph.runtime.engine.context import CancelToken, RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Event, StageMemory, each_of
from run_graph.runtime.files.atomic import write_atomically
from run_graph.runtime.models.store import ModelStore

_GIGABYTE = 1000**3
_LOGGED = ("graph", "runtime", "nodes", "mflux")


@dataclass(frozen=True)
class Finished:
    """What a run leaves: the pictures, in the order of their making, and MLX's peak memory in bytes."""

    pictures: Sequence[Path]
    peak_bytes: int


def run(job: Job, arguments: Namespace) -> Finished:
    """Save the graph if that is wanted, then run it.

    Raises
    ------
    WorkflowError, NodeFailed, SaveError
        As :meth:`runtime.engine.session.Session.run` does.
    Cancelled
        If the battery was too low; says so.
    """
    if arguments.verbose:
        _log_details()
    if arguments.save_graph is not None:
        path = Path(arguments.save_graph).expanduser()
        write_atomically(path, job.workflow.dumps().encode(), overwrite=True)
    store = ModelStore(low_ram=arguments.low_ram, cache_limit=_bytes(arguments.mlx_cache_limit_gb))
    # A sampling that is not run shows no steps.
    no_cache = arguments.no_cache or arguments.stepwise_image_output_dir is not None
    cache = chosen_cache(no_cache, arguments.cache_dir, partial(say, program=PROGRAM))
    token = CancelToken()
    battery = BatteryGuard(arguments.battery_percentage_stop_limit, token)
    names = PictureNames(job.pictures, embed=not arguments.no_exif, sidecar=arguments.metadata)
    steps, memory = _stepwise(job, arguments, store), PeakMemory()
    with listener({}, quiet=False, as_json=False) as progress:
        try:
            Session(installed_nodes(), cache, Services(store)).run(
                job.workflow,
                environment=RunEnvironment(job.input_folders, job.output_folder),
                on_event=each_of(progress, battery, names, steps, memory),
                token=token,
                # Each picture then carries the part of the graph that makes it, not the other seeds'.
                originals={node_id: node_id for node_id in job.workflow.nodes},
            )
        except Cancelled as error:
            raise Cancelled(battery.reason or str(error)) from None
    return Finished(names.written, memory.peak_bytes)


def _log_details() -> None:
    logging.basicConfig()
    for package in _LOGGED:  # not all: Pillow, for one, logs each chunk of each file
        logging.getLogger(package).setLevel(logging.DEBUG)


class PeakMemory:
    """A listener that keeps the largest of the stages' peaks."""

    def __init__(self) -> None:
        self.peak_bytes = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageMemory):
            self.peak_bytes = max(self.peak_bytes, event.peak_bytes)


def _stepwise(job: Job, arguments: Namespace, store: ModelStore) -> StepwisePictures | None:
    folder = arguments.stepwise_image_output_dir
    return None if folder is None else StepwisePictures(job.workflow, folder, store)


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * _GIGABYTE)
