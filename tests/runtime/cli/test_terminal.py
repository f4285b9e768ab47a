"""Printing never fails a run, and a stranger's text cannot command the terminal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from run_graph.runtime.cli.terminal import print_message, visible

COMMAND = "import sys; from run_graph.runtime.cli.main import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a fox, 日本 🦊 é\u00a0", "a fox, 日本 🦊 é\u00a0"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b]0;owned\x07", "\\u001b]0;owned\\u0007"),
        ("\x9b2J\x7f", "\\u009b2J\\u007f"),
        ("\ud83d", "\\ud83d"),
    ],
)
def test_control_characters_are_shown_not_obeyed(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_line_of_json_stays_json() -> None:
    line = json.dumps({"id": "save\x1b\x9b"}, ensure_ascii=False)
    assert json.loads(visible(line)) == {"id": "save\x1b\x9b"}


def test_messages_go_to_standard_error_without_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_message("node 'a\x1b[2J'")
    assert capsys.readouterr().err == "run-graph: node 'a\\u001b[2J'\n"


def shell(redirection: str, *arguments: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    """Run the command with a redirection of the shell."""
    script = f'"$0" -c "$1" "${{@:2}}" {redirection}'
    environment = {"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": encoding, "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        ["bash", "-c", script, sys.executable, COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("redirection", "encoding"),
    [
        ("2>&-", "utf-8"),
        (">&-", "utf-8"),
        (">&- 2>&-", "utf-8"),
        (">/dev/full", "utf-8"),
        ("2>/dev/full", "utf-8"),
        ("", "ascii"),
    ],
)
@pytest.mark.parametrize("option", ["--json", "--memory-limit=8GB"], ids=["json", "plain"])
def test_a_run_succeeds_whatever_its_streams_are(
    project: Path, redirection: str, encoding: str, option: str
) -> None:
    done = shell(redirection, str(project), option, "--output", "bild_ö", "--no-cache", encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(list(Path("bild_ö").glob("*.png"))) == 1


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">/dev/full"])
def test_bad_input_keeps_its_exit_code_whatever_the_streams_are(project: Path, redirection: str) -> None:
    assert shell(redirection, str(project), "--set", "smaller.mode=lo").returncode == 2


def test_a_full_standard_output_is_reported_once(project: Path) -> None:
    done = shell(">/dev/full", str(project), "--json", "--no-cache")
    assert done.stderr.count("standard output cannot be written") == 1
