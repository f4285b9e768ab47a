"""The options of ``run-graph``: each is a typed field of a frozen dataclass."""

from pathlib import Path

import pytest
from option_checks import check_types_and_frozenness, destinations, leaf_values

from run_graph.runtime.cli.arguments import build_parser, parse

_EVERY_OPTION = """
    --allow-read d --allow-download
    --model tiny --max-pixels 65536
    a.json --set a.b=1 --target a --sweep a.b=1,2 --sweep a.c=3,4 --zip -o o --contact-sheet s.png
    --nodes n.py
    --models-dir m --offline --memory-limit 8GB --low-ram --memory-report --cluster tcp://h:1 --any-device
    --no-cache --cache-dir c
    --json -v --traceback --strict
    --validate --draw - --draw-format svg --convert c.json --export-ui u.json
    --export-comfyui s.json --example redux d
    --cache-info --cache-clear --models --doctor --save-model m --list-nodes --describe C --schema
"""
EVERY_OPTION = _EVERY_OPTION.split()


def test_every_option_is_a_field_and_every_field_an_option() -> None:
    assert sorted(leaf_values(parse(["a.json"]))) == destinations(build_parser())


@pytest.mark.parametrize(
    "argv",
    [
        ["a.json"],
        EVERY_OPTION,
        ["a.json", "b.json", "-q", "--inputs"],
        ["a.json", "--server", "http://h:1", "--token", "t"],
    ],
)
def test_every_value_has_the_type_of_its_field_and_cannot_be_changed(argv: list[str]) -> None:
    check_types_and_frozenness(parse(argv))


def test_the_sample_command_line_gives_every_option() -> None:
    default, given = leaf_values(parse(["--schema"])), leaf_values(parse(EVERY_OPTION))
    assert [name for name in given if given[name] == default[name]] == [
        "workers",
        "server",
        "token",
        "quiet",
        "check",
        "inputs",
        "schema",
    ]


def test_options_may_come_between_the_files() -> None:
    options = parse(["a.json", "--set", "a.b=1", "b.json", "--set", "a.c=2"])
    assert options.files == ("a.json", "b.json")
    assert options.nodes.settings == ("a.b=1", "a.c=2")


@pytest.mark.parametrize("option", ["--output", "--draw", "--contact-sheet"])
def test_a_tilde_that_the_shell_left_alone_is_the_home_folder(option: str) -> None:
    options = parse(["a.json", f"{option}=~/pictures/a.png"])
    found = {
        "--output": options.output,
        "--draw": options.actions.draw,
        "--contact-sheet": options.contact_sheet,
    }
    assert found[option] == Path.home() / "pictures" / "a.png"
