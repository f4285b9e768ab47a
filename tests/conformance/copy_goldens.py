"""Copy cases of a folder of goldens into the tests' own: ``python copy_goldens.py FOLDER NAME...``."""

import json
import shutil
import sys
from pathlib import Path

OWN = Path(__file__).parent / "goldens"


def copy(source: Path, names: list[str], target: Path = OWN) -> None:
    """Add cases to a folder's index, one a line in the order of the source's, with their files and inputs."""
    target.mkdir(exist_ok=True)
    theirs = json.loads((source / "index.json").read_text(encoding="utf-8"))
    place = target / "index.json"
    known = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    chosen = {**known, **{name: theirs[name] for name in names}}
    lines = [f"{json.dumps(name)}: {json.dumps(chosen[name])}" for name in theirs if name in chosen]
    place.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    for name in names:
        prompt = json.loads((source / f"{name}.json").read_text(encoding="utf-8"))
        (target / f"{name}.json").write_text(json.dumps(prompt) + "\n", encoding="utf-8")
        shutil.copyfile(source / f"{name}.npz", target / f"{name}.npz")
        copy_inputs(source.parent, prompt, target)


def copy_inputs(source: Path, prompt: dict[str, dict[str, dict[str, object]]], target: Path) -> None:
    """Copy the pictures and LoRAs that a prompt names."""
    named = {str(value) for node in prompt.values() for value in node["inputs"].values()}
    for path in [*source.glob("images/*"), *source.glob("loras/*")]:
        if path.name in named:
            copied = target / path.parent.name / path.name
            copied.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copied)


if __name__ == "__main__":
    copy(Path(sys.argv[1]), sys.argv[2:])
