"""``python -m run_graph`` is the ``run-graph`` command."""

import sys

from run_graph.runtime.cli.main import main

sys.exit(main())
