"""``python -m benchmarks``: see the package docstring."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module

import benchmarks
from benchmarks.report import RESULTS, load_average, write_section

BENCHMARKS = (
    "engine",
    "startup",
    "second_prompt",
    "resume",
    "soak",
    "cluster",
    "sampling",
    "sampling_wide",
    "networks",
    "step_reuse",
    "modulation",
    "gguf",
    "patch_downsample",
)
"""The modules with a benchmark, in the order of their sections."""
BY_HAND = "goals"
"""The section, before all others, that is written by hand: it compares with figures of earlier versions."""
LONG = ("sampling_wide",)
"""Benchmarks that run only when named on the command line: they take more than an hour."""

COMMAND = "uv run --group benchmarks python -m benchmarks"


def main() -> int:
    parser = ArgumentParser(
        "python -m benchmarks", description=benchmarks.__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name",
        nargs="*",
        metavar="NAME",
        help=f"one or more of {', '.join(BENCHMARKS)} (default: all except {', '.join(LONG)})",
    )
    parser.add_argument("--quick", action="store_true", help="measure less, print it and write nothing")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.name if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    names = arguments.name or [name for name in BENCHMARKS if name not in LONG]
    if len(names) > 1:
        return _measure_in_processes(names, quick=arguments.quick)
    _measure(names[0], quick=arguments.quick)
    return 0


def _measure_in_processes(names: Sequence[str], *, quick: bool) -> int:
    """Run each benchmark in its own process, so that none inherits another's heap, caches or kernels.

    A benchmark that fails does not stop the others; returns the highest exit code.
    """
    options = ["--quick"] if quick else []
    codes = [
        subprocess.run([sys.executable, "-m", "benchmarks", name, *options]).returncode for name in names
    ]
    return max(codes)


def _measure(name: str, *, quick: bool) -> None:
    load = load_average()
    section = import_module(f"benchmarks.{name}").measure(quick)
    markdown = section.markdown(f"{COMMAND} {name}", load)
    print(markdown, flush=True)
    if not quick:
        write_section(name, markdown, (BY_HAND, *BENCHMARKS))
        print(f"\nwritten to {RESULTS}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
