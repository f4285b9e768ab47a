"""A process that is forked after a run says that it cannot compute, and does not hang."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
{load}
from conformance.integer_nodes import REGISTRY, Const
from engine import workflow
from run_graph.runtime.engine.session import Session

def go():
    return Session(REGISTRY).run(workflow(a=(Const, {{"value": 1}})), targets=["a"])

{before}
child = os.fork()
if child == 0:
    try:
        go()
    except RuntimeError as error:
        print(error)
    else:
        print("computed")
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    ("load", "before", "said"),
    [
        ("import mlx.core", "go()", "this process was forked"),
        ("import mlx.core", "", "computed"),
        ("", "go()", "computed"),
    ],
    ids=["after a run with MLX", "before any run", "after a run without MLX"],
)
def test_a_forked_process_says_whether_it_can_compute(load: str, before: str, said: str) -> None:
    program = f"import sys; sys.path[:0] = {sys.path!r}\n" + PROGRAM.format(load=load, before=before)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(said), done.stderr
