"""What ``run-graph`` does for ``--doctor``: examines this machine, and says what it has found."""

from __future__ import annotations

import json

from run_graph.runtime.cli.options import MemoryOptions, ReportingOptions
from run_graph.runtime.cli.terminal import DONE, NODE_FAILED, print_message, print_result


def examine_machine(memory: MemoryOptions, reporting: ReportingOptions) -> int:
    """Print the findings. Returns 0 if everything is as it should be, else 1."""
    from run_graph.runtime.doctor.examination import examine
    from run_graph.runtime.doctor.text import lines

    found = examine(memory.memory_limit)
    faults = list(found.faults())
    if reporting.json:
        print_result(json.dumps(found.to_json(), ensure_ascii=False))
    elif reporting.quiet:
        for fault in faults:
            print_message(fault)
    else:
        print_result("\n".join(lines(found)))
    return NODE_FAILED if faults else DONE
