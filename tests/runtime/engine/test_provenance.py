"""What a run says about itself to nodes that write files."""

import json
from pathlib import Path

from small import shipped

from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.provenance import describe_run, versions


def test_the_description_is_plain_json_and_complete(tmp_path: Path) -> None:
    environment = RunEnvironment([tmp_path / "in", Path("relative")], tmp_path / "out")
    found = describe_run(shipped("redux"), environment, {"photo": 0.123456}, {"workflow": {"nodes": []}})
    assert json.loads(json.dumps(found)) == found
    assert found["prompt"] == shipped("redux").to_json()
    assert found["seconds"] == {"photo": 0.1235}
    assert found["documents"] == {"workflow": {"nodes": []}}
    assert found["input_directories"] == [str(tmp_path / "in"), str(Path.cwd() / "relative")]


def test_versions_name_everything_that_computes() -> None:
    assert versions().keys() == {"python", "run-graph", "mlx", "mflux"}
    assert all(number[0].isdigit() for number in versions().values())
