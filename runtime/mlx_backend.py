"""Why MLX cannot be imported: its backend is a package of its own, and of another version, or absent."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

CPU = "mlx-cpu"
METAL = "mlx-metal"
CUDA = ("mlx-cuda-13", "mlx-cuda-12")

_PACKAGES = ("mlx", CPU, METAL, *CUDA)

_PIP = ("python -m pip uninstall -y", "python -m pip install --force-reinstall --no-deps")
_UV = ("uv pip uninstall", "uv pip install --reinstall --no-deps")
_LONGEST = 200  # of what the dynamic linker says


class BackendError(ImportError):
    """MLX cannot be imported on this machine; the message says why, and what to do."""


def require_mlx() -> None:
    """Import MLX.

    Raises
    ------
    BackendError
        If that fails.
    """
    fault = mlx_fault()
    if fault is not None:
        raise BackendError(fault)


def mlx_fault() -> str | None:
    """Why MLX cannot be imported, and the fix, on one line; None if it can be."""
    try:
        import mlx.core  # noqa: F401
    except ImportError as error:
        return f"MLX cannot be loaded: {diagnosis(str(error), installed_packages(), platform.system())}"
    return None


def diagnosis(error: str, installed: Mapping[str, str], system: str) -> str:
    """What is wrong with the packages of MLX, and the fix.

    Parameters
    ----------
    error : str
        The message of the ImportError.
    installed : mapping
        The versions of MLX and its backends, by package.
    system : str
        ``platform.system()``.
    """
    wanted = METAL if system == "Darwin" else CPU
    if "mlx" not in installed:
        return "the package mlx is not installed. Install run-graph with its dependencies."
    mlx = installed["mlx"]
    backends = {name: held for name, held in installed.items() if name != "mlx"}
    cuda = [name for name in CUDA if name in backends]
    if not backends:
        return f"mlx {mlx} has no backend. {_reinstall(mlx, wanted)}"
    if len(backends) > 1:
        kept = cuda[0] if cuda and "libcuda" not in error else wanted
        others = [name for name in backends if name != kept]
        return (
            f"{' and '.join(backends)} are both installed, and overwrite each other's files. "
            f"{_reinstall(mlx, kept, others)}"
        )
    [(backend, held)] = backends.items()
    if cuda and "libcuda" in error:
        return (
            f"{backend} needs an NVIDIA driver, which this machine lacks (libcuda.so.1). "
            f"Install the driver, or use the CPU. {_reinstall(mlx, wanted, cuda)}"
        )
    if held != mlx:
        return f"mlx {mlx} and {backend} {held} must have the same version. {_reinstall(mlx, backend)}"
    short = " ".join(error.split())[:_LONGEST]
    return f"its files are damaged, or another backend's ({short}). {_reinstall(mlx, backend)}"


def _reinstall(mlx: str, backend: str, removed: Sequence[str] = ()) -> str:
    """The command that leaves MLX with one backend of the same version.

    MLX itself is installed again as well: uninstalling one backend deletes files that another wrote.
    """
    uninstall, install = _PIP if find_spec("pip") else _UV
    first = f"{uninstall} {' '.join(removed)} && " if removed else ""
    return f"Run: {first}{install} mlx=={mlx} {backend}=={mlx} (the README says how a project keeps it so)."


def installed_packages() -> dict[str, str]:
    """The versions of MLX and of its backends that are installed, by package."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
