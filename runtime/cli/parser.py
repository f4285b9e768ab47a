"""The parser of both commands: argparse, with what is wrong in our words."""

from __future__ import annotations

import re
from argparse import Action, ArgumentError, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from run_graph.runtime.cli.completion import DESTINATION, print_completion
from run_graph.runtime.cli.terminal import BAD_INPUT, print_message
from run_graph.runtime.units import parse_bytes

# What argparse says, and how we say it. What is not listed is printed as argparse says it.
_REWORDED = (
    (r"expected .*arguments?", "a value is missing; write {usage}"),
    (r"the value is empty", r"the value is empty; write {usage}"),
    (r"ignored explicit argument (.*)", r"this option takes no value, but was given \1; write {usage}"),
    (r"not allowed with argument (.*)", r"cannot be combined with \1; leave one of them out"),
    (r"invalid int value: (.*)", r"\1 is not a whole number; write one such as 4"),
)


class CommandParser(ArgumentParser):
    """A parser whose errors are two lines: what is wrong with which option, and where the help is."""

    def parse_all(self, argv: Sequence[str] | None) -> Namespace:
        """Parse the command line; options may come between the other arguments.

        If it is wrong, a message is printed and the process exits with code 2; with ``--print-completion`` it
        prints the script and exits.
        """
        parsed, rest = self.parse_known_intermixed_args(argv)
        if rest:
            self.error(self._not_understood(rest[0]))
        if shell := getattr(parsed, DESTINATION, None):
            print_completion(self, shell)
            self.exit()
        return parsed

    def error(self, message: str) -> NoReturn:
        """Print the message and where the help is, and exit with code 2."""
        print_message(self._reworded(message), self.prog)
        print_message(f"  see {self.prog} --help")
        self.exit(BAD_INPUT)

    def _check_value(self, action: Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            near = _nearest(str(value), choices)
            fix = f"; did you mean {near!r}?" if near else ""
            raise ArgumentError(action, f"{str(value)!r} is not one of {', '.join(choices)}{fix}")

    def _not_understood(self, argument: str) -> str:
        if not argument.startswith("-"):
            return f"{argument!r} belongs to no option"
        name = argument.partition("=")[0]
        options = {option.lstrip("-"): option for option in self._option_string_actions}
        near = _nearest(name.lstrip("-"), options, 0.7)
        return f"there is no option {name}" + (f"; did you mean {options[near]}?" if near else "")

    def _reworded(self, message: str) -> str:
        """argparse's ``argument -o/--output: expected one argument`` in our words."""
        if match := re.fullmatch(r"ambiguous option: (\S+) could match (.*)", message):
            return f"{match[1]} could mean {match[2]}; write it in full"
        match = re.fullmatch(r"argument (\S+): (.*)", message, re.DOTALL)
        if match is None:
            return message
        option, text = max(match[1].split("/"), key=len), match[2]
        for pattern, words in _REWORDED:
            if found := re.fullmatch(pattern, text, re.DOTALL):
                text = found.expand(words).replace("{usage}", self._usage_of(option))
        return f"{option}: {text}"

    def _usage_of(self, option: str) -> str:
        action = self._option_string_actions.get(option)
        if action is None or action.nargs == 0:
            return option
        if action.metavar is None and action.choices is not None:
            return f"{option} {next(iter(action.choices))}"
        value = action.metavar or action.dest.upper()
        return f"{option} {value if isinstance(value, str) else value[0]}"


def path_argument(text: str) -> Path:
    """A path; ``""``, which is what a shell makes of a variable that is not set, is refused."""
    return Path(text_argument(text))


def text_argument(text: str) -> str:
    """A text that is not empty."""
    if not text:
        raise ArgumentTypeError("the value is empty")
    return text


def size_argument(text: str) -> int:
    """A number of bytes, such as ``8GB``."""
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _nearest(text: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(text, list(known), n=1, cutoff=cutoff)), None)
