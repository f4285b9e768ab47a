"""Wrong options of both commands: two lines, which name the option and the fix."""

from collections.abc import Callable, Sequence

import pytest

from run_graph.runtime.cli import arguments
from run_graph.runtime.cli.mflux import arguments as mflux_arguments

COMMANDS: dict[str, Callable[[Sequence[str] | None], object]] = {
    "run-graph": arguments.parse,
    "mflux-generate-redux-advanced": mflux_arguments.parse,
}


def complaint(capsys: pytest.CaptureFixture[str], program: str, *argv: str) -> str:
    """What the command says of its arguments, without its name and where the help is."""
    with pytest.raises(SystemExit) as ended:
        COMMANDS[program](argv)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    first, second = printed.err.splitlines()
    assert second == f"  see {program} --help"
    assert first.startswith(f"{program}: ")
    return first.removeprefix(f"{program}: ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "name a workflow file, such as workflows/redux.json"),
        (["--outptu", "x"], "there is no option --outptu; did you mean --output?"),
        (["a.json", "--outptu=x"], "there is no option --outptu; did you mean --output?"),
        (["-z"], "there is no option -z"),
        (["--output"], "--output: a value is missing; write --output DIR"),
        (["-o"], "--output: a value is missing; write --output DIR"),
        (["a.json", "--draw"], "--draw: a value is missing; write --draw FILE"),
        (["a.json", "--draw", "a.gif"], "--draw writes .svg, .png, .mmd, .txt (or - for standard output)"),
        (["a.json", "--draw", "a.svg", "--draw-format", "svg"], "--draw-format is for --draw -"),
        (["a.json", "-o", ""], "--output: the value is empty; write --output DIR"),
        (["a.json", "--cache-dir="], "--cache-dir: the value is empty; write --cache-dir DIR"),
        (["a.json", "--draw", ""], "--draw: the value is empty; write --draw FILE"),
        (["--json=3"], "--json: this option takes no value, but was given '3'; write --json"),
        (["-q", "--json"], "--json: cannot be combined with --quiet/-q; leave one of them out"),
        (["a.json", "-q", "-v"], "--quiet: cannot be combined with --verbose; leave one of them out"),
        (["--cache"], "--cache could mean --cache-dir, --cache-info, --cache-clear; write it in full"),
        (["--memory-limit", "8"], "--memory-limit: '8' is not an amount of memory; write one such as 8GB"),
        (["--print-completion", "zhs"], "'zhs' is not one of bash, zsh, tcsh; did you mean 'zsh'?"),
        (["--example", "a", "b", "c"], "--example takes a name and a folder"),
        (["-", "-"], "- is standard input, which can be read only once"),
        (["a.json", "--inputs", "--sweep", "a.b=1"], "--inputs lists the inputs of the workflow as it is"),
    ],
)
def test_run_graph_says_what_is_wrong_in_two_lines(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in complaint(capsys, "run-graph", *argv)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--redux-mode", "lo"], "--redux-mode: 'lo' is not one of lowest, low, medium, high, highest; did"),
        (["--redux-mode", "low", "hihg"], "'hihg' is not one of lowest, low, medium, high, highest; did you"),
        (["--redux-mode"], "--redux-mode: a value is missing; write --redux-mode lowest"),
        (["--lora"], "--lora: a value is missing; write --lora PATH"),
        (["--seed", "x"], "--seed: 'x' is not a whole number; write one such as 4"),
        (["--seed", "-1"], "--seed: '-1' is not a seed; write a whole number from 0 to"),
        (["--steps", "0"], "--steps: '0' is below 1; write 1 or more"),
        (["--width", "8"], "--width: '8' is below 16 pixels; write 16 or more"),
        (["--guidance", "nan"], "--guidance: 'nan' is not a finite number; write one such as 0.5"),
        (["--guidance", "much"], "--guidance: 'much' is not a number; write one such as 0.5"),
        (["--mlx-cache-limit-gb", "0"], "--mlx-cache-limit-gb: '0' is not above 0; write a number such as 2"),
        (["--vae-tile-size", "100"], "write a multiple of 16 that is at least 128"),
        (["--quantize", "7"], "--quantize: '7' is not one of 3, 4, 5, 6, 8"),
        (["-q", "four"], "--quantize: 'four' is not a whole number; write one such as 4"),
        (["--prompt", "a", "--prompt-file", "b"], "--prompt-file: cannot be combined with --prompt"),
        (["photo.png"], "'photo.png' belongs to no option"),
        (["--redux-image", "a.png"], "there is no option --redux-image; did you mean --redux-image-paths?"),
    ],
)
def test_the_mflux_command_says_what_is_wrong_in_two_lines(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in complaint(capsys, "mflux-generate-redux-advanced", *argv)
