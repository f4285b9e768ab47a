"""Every package that is imported is a declared dependency, and every declared dependency is imported."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import requires, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OWN = {"run_graph", "graph", "runtime", "nodes", "tests", "benchmarks", "training"}
# Where a distribution has another name than what is imported from it.
DISTRIBUTIONS = {"PIL": "pillow", "hamilton": "apache-hamilton", "yaml": "pyyaml"}
# The parity oracle: uv's settings leave torch out, so CONTRIBUTING.md and .ci/run install both separately.
INSTALLED_SEPARATELY = {"torch", "diffusers"}
# What starlette imports where it is installed, for forms.
NEEDED_BY_OTHERS = {"python-multipart"}
# What mflux asks for and run-graph does without, or in another form.
LEFT_OUT = {"mlx", "torch", "opencv-python"}


def imported(*folders: str) -> set[str]:
    """Distributions that the files of some folders import, also inside functions."""
    helpers = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {"conformance"}
    ours = OWN | helpers | sys.stdlib_module_names
    tops = {
        name.partition(".")[0]
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in names_imported(node)
    }
    return {DISTRIBUTIONS.get(top, top.replace("_", "-")) for top in tops - ours}


def names_imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        return [node.module]
    return []


def declared(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in requirements}


def group(*names: str) -> set[str]:
    return declared([line for name in names for line in PROJECT["dependency-groups"][name]])


def installed_with_the_package() -> set[str]:
    project = PROJECT["project"]
    optional = [line for extra in project["optional-dependencies"].values() for line in extra]
    return declared(project["dependencies"] + optional)


def test_dependencies_are_exactly_what_the_package_imports() -> None:
    others = NEEDED_BY_OTHERS | {"comfyui-frontend-package"}  # the editor's files are served, not imported
    assert imported("graph", "runtime", "nodes") == installed_with_the_package() - others


def test_tests_import_only_what_is_declared_for_them() -> None:
    assert imported("tests") <= installed_with_the_package() | group("dev") | INSTALLED_SEPARATELY


def test_benchmarks_import_only_what_is_declared_for_them() -> None:
    available = installed_with_the_package() | group("dev", "benchmarks") | INSTALLED_SEPARATELY
    assert imported("benchmarks") <= available


def test_training_imports_only_what_is_declared_for_it() -> None:
    available = installed_with_the_package() | group("dev", "training") | INSTALLED_SEPARATELY
    assert imported("training") <= available


def test_mfluxs_requirements_are_its_own_without_three() -> None:
    [ours] = PROJECT["tool"]["uv"]["dependency-metadata"]
    assert f"{ours['name']}=={ours['version']}" in PROJECT["project"]["dependencies"]
    theirs = [line for line in requires("mflux") or [] if "extra ==" not in line]
    left_out = {"mlx", "torch", "opencv-python"}
    assert left_out <= declared(theirs)
    assert plain(ours["requires-dist"]) == plain(
        line for line in theirs if declared([line]).isdisjoint(left_out)
    )


def plain(requirements: Iterable[str]) -> set[str]:
    """Requirements without spaces and with one kind of quote."""
    return {line.replace(" ", "").replace('"', "'") for line in requirements}


@pytest.mark.parametrize("document", ["README.md", "docs/dependency.md"])
def test_what_other_projects_are_told_to_override_fits(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    [block] = re.findall(r"^```toml\n(\[tool\.uv\].*?)^```$", text, re.MULTILINE | re.DOTALL)
    overrides = tomllib.loads(block)["tool"]["uv"]["override-dependencies"]
    assert declared(overrides) == LEFT_OUT
    [mlx] = [line for line in PROJECT["project"]["dependencies"] if line.startswith("mlx>")]
    assert mlx.replace("mlx", "mlx[cpu]") in overrides


def test_mlx_and_its_backend_have_one_version() -> None:
    """MLX's extras require the backend in MLX's own version."""
    assert group("cpu") == group("cuda") == {"mlx"}
    backends = [
        line for line in requires("mlx") or [] if line.startswith(("mlx-cpu", "mlx-cuda", "mlx-metal"))
    ]
    assert backends
    assert all(f"=={version('mlx')};" in line.replace(" ", "") for line in backends)


def test_what_relies_on_internals_has_an_upper_bound() -> None:
    bounds = dict(re.findall(r"^([\w-]+)(.*)$", "\n".join(PROJECT["project"]["dependencies"]), re.MULTILINE))
    assert bounds["mflux"].startswith("==")
    assert all("<" in bounds[name] for name in ("mlx", "huggingface-hub", "pydantic-core"))
