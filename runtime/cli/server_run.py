"""A run on a server, shown as a run on this machine is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from run_graph.graph.registry import Registry
from run_graph.runtime.cli.ending import Ending
from run_graph.runtime.cli.files import FileJob
from run_graph.runtime.cli.options import ServerOptions
from run_graph.runtime.cli.progress import Display
from run_graph.runtime.cli.result_lines import ResultLines
from run_graph.runtime.engine.context import CancelToken
from run_graph.runtime.events import each_of
from run_graph.runtime.remote.address import Address
from run_graph.runtime.remote.prompts import Prompt


def run_on_server(
    jobs: Sequence[FileJob],
    server: ServerOptions,
    registry: Registry,
    shown: Display,
    ending: Ending,
    token: CancelToken,
) -> None:
    """Run the files on the server that the options name; raises as `runtime.remote.run.run_prompts` does."""
    from run_graph.runtime.remote.run import run_prompts

    assert server.server is not None
    address = Address.of(server.server, server.token)
    prompts = [prompt for job in jobs for prompt in prompts_of(job)]
    listener = each_of(shown.on_event, ResultLines(shown.print_result), ending)
    run_prompts(prompts, address, registry, listener, token)


def prompts_of(job: FileJob) -> Iterator[Prompt]:
    """One prompt for each variant of a sweep, in order; nodes have the ids of the file there."""
    sweep, targets = job.sweep, job.job.targets
    wanted = None if targets is None else set(targets)
    for index in range(len(sweep.variants)):
        originals = {copies[index]: node_id for node_id, copies in sweep.copies.items()}
        workflow = sweep.workflow.only(originals.keys()).renamed(originals)
        places = {node_id: job.place(copy) for copy, node_id in originals.items()}
        chosen = None
        if wanted is not None:
            chosen = tuple(originals[copy] for copy in originals if copy in wanted)
        yield Prompt(workflow, job.job.environment, chosen, places, job.job.source)
