"""``--print-completion SHELL``: a script with which a shell completes the options of a command."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser

from run_graph.runtime.cli.terminal import print_result

SHELLS = ("bash", "zsh", "tcsh")
DESTINATION = "print_completion"

# How the name of a value begins that is a file, or a folder.
_FILES, _FOLDERS = ("FILE", "PATH"), ("DIR", "FOLDER")


def add_completion_argument(parser: ArgumentParser) -> None:
    """Add the option. It is missing from the namespace unless it is given."""
    parser.add_argument(
        "--print-completion",
        dest=DESTINATION,
        default=SUPPRESS,
        choices=SHELLS,
        help="print a script that completes the options in a shell; for bash: "
        f'eval "$({parser.prog} --print-completion bash)"',
    )


def print_completion(parser: ArgumentParser, shell: str) -> None:
    """Print the script. Only this loads shtab."""
    import shtab

    for action in parser._actions:
        if isinstance(action.metavar, tuple):
            action.metavar = " ".join(action.metavar)  # shtab would print it as Python does
        value = action.metavar or ""
        if value.startswith(_FOLDERS):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif value.startswith(_FILES):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print_result(shtab.complete(parser, shell=shell))
