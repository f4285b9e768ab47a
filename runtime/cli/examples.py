"""The example workflows that come with run-graph, and their pictures: ``run-graph --example``."""

from __future__ import annotations

from pathlib import Path

from run_graph.graph.faults import Fault, WorkflowError, suggestion
from run_graph.graph.formats.api import load_workflow
from run_graph.graph.registry import Registry
from run_graph.runtime.cli.inputs_option import settable_inputs
from run_graph.runtime.cli.set_option import takes_picture
from run_graph.runtime.files.atomic import SaveError, write_atomically
from run_graph.runtime.files.places import example_folder


def example_names() -> list[str]:
    """All of them, sorted."""
    return sorted(path.stem for path in example_folder().glob("*.json"))


def example_pictures(name: str, registry: Registry) -> list[str]:
    """The pictures that an example reads, relative to its folder."""
    workflow = load_workflow(example_folder() / f"{name}.json")
    inputs = settable_inputs(workflow, registry)
    return list(dict.fromkeys(each.value for each in inputs if takes_picture(each.spec)))


def write_example(name: str, folder: Path, registry: Registry) -> list[Path]:
    """Write an example and its pictures.

    Parameters
    ----------
    name : str
        One of :func:`example_names`.
    folder : Path
        Created if it is missing.

    Returns
    -------
    list of Path
        The workflow first, then the pictures. A file that is there already with the same content stays.

    Raises
    ------
    WorkflowError
        If there is no such example.
    SaveError
        If another file is in the way, before anything is written; or if writing fails.
    """
    if name not in example_names():
        fix = suggestion(name, example_names(), f"The examples are {', '.join(example_names())}.")
        raise WorkflowError([Fault("example_not_found", f"there is no example {name!r}", fix)])
    relative = [f"{name}.json", *example_pictures(name, registry)]
    contents = {folder / each: (example_folder() / each).read_bytes() for each in relative}
    _refuse_overwriting(contents, name)
    for path, content in contents.items():
        if not path.exists():
            write_atomically(path, content, overwrite=False)
    return list(contents)


def _refuse_overwriting(contents: dict[Path, bytes], name: str) -> None:
    taken = [path for path, content in contents.items() if path.exists() and not _has(path, content)]
    if taken:
        raise SaveError(
            f"--example {name}: {', '.join(map(str, taken))} already exists and is another file; "
            f"name another folder, such as --example {name} {name}-example"
        )


def _has(path: Path, content: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
