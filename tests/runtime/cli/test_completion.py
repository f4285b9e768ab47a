"""``--print-completion``: what a shell completes with the scripts."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from run_graph.runtime.cli import arguments
from run_graph.runtime.cli.completion import SHELLS
from run_graph.runtime.cli.mflux import arguments as mflux_arguments

PARSERS = {"run-graph": arguments.parse, "mflux-generate-redux-advanced": mflux_arguments.parse}


def script(program: str, shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        PARSERS[program](["--print-completion", shell])
    assert not ended.value.code
    return capsys.readouterr().out


def completed(bash_script: str, words: list[str], folder: Path) -> set[str]:
    """What bash offers for the last word."""
    code = (
        f'{bash_script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9\n'
        'name=$(complete -p "$1"); name=${name#*-F }; name=${name%% *}\n'
        '"$name"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    done = subprocess.run(
        [bash, "-c", code, "bash", *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return {line.strip() for line in done.stdout.splitlines() if line.strip()}


@pytest.mark.parametrize("program", PARSERS)
def test_bash_completes_options_choices_and_files(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "photo.png").touch()
    bash_script = script(program, "bash", capsys)
    options = completed(bash_script, [program, "--"], tmp_path)
    assert {"--output", "--no-cache", "--low-ram", "--print-completion"} <= options
    assert completed(bash_script, [program, "--print-completion", ""], tmp_path) >= set(SHELLS)
    assert completed(bash_script, [program, "--cache-dir", ""], tmp_path) == {"out"}
    if program == "run-graph":
        assert completed(bash_script, [program, "ph"], tmp_path) == {"photo.png"}
        assert completed(bash_script, [program, "--contact-sheet", "ph"], tmp_path) == {"photo.png"}
    else:
        assert completed(bash_script, [program, "--redux-mode", "low"], tmp_path) == {"low", "lowest"}


@pytest.mark.parametrize("program", PARSERS)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_the_command_and_its_options(
    program: str, shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(program, shell, capsys)
    assert program in text
    assert "output" in text
    assert "no-cache" in text
    assert "', '" not in text  # a tuple as Python prints it


def test_only_completion_loads_shtab() -> None:
    code = (
        "import sys\nfrom run_graph.runtime.cli.arguments import parse\n"
        "parse(['a.json'])\nassert 'shtab' not in sys.modules\n"
        "try: parse(['--print-completion', 'bash'])\nexcept SystemExit: pass\n"
        "assert 'shtab' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
