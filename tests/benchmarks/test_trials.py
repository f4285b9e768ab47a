"""Short versions of the benchmarks' stress tests: kills, faults, leaks, two processes at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak import leak, soak

ROOT = Path(__file__).parents[2]


def test_random_graphs_stay_right_through_failures_cancellations_and_damage(tmp_path: Path) -> None:
    counts = soak(tmp_path, graphs=40, seed=7)
    for happened in (
        "runs with bit-identical results",
        "runs cancelled",
        "runs with a failure",
        "damages reported",
    ):
        assert counts[happened] > 0, happened


def test_nothing_grows_from_run_to_run(tmp_path: Path) -> None:
    leak(tmp_path, runs=60)


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    """Each runs the same graphs 200 times; the cache is too small for all, so files are evicted."""
    code = "import sys; from pathlib import Path; from benchmarks.soak import share; " + (
        "print(share(Path(sys.argv[1]), 200, int(sys.argv[2])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(seed)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2)
    ]
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert "'runs with bit-identical results': 200" in out
        assert "'nodes reused'" in out
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.skipif(sys.platform == "darwin", reason="a process that has imported MLX cannot be forked there")
def test_a_killed_run_is_resumed_by_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "resume", "--quick"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "| bit-identical pictures | 12 of 12 |" in done.stdout
