"""``python -m run_graph`` is the ``run-graph`` command."""

import sys

from run_graph.runtime.cli.start import run_graph

sys.exit(run_graph())
