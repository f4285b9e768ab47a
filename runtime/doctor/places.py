"""The folders that run-graph keeps things in, and whether the Hub knows this user."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from run_graph.runtime.files.places import results_folder
from run_graph.runtime.models.hub import is_offline

Login = Literal["logged in", "not logged in", "refused", "not asked"]

_TIMEOUT = 3.0  # seconds that the Hub has for its answer


@dataclass(frozen=True)
class Folder:
    """A folder that is written to.

    Attributes
    ----------
    what : str
        What is kept there.
    path : str
    free : int
        Bytes that are free on its disk.
    writable : bool
        Whether files can be made in it; in the folder above it if it is not there yet.
    """

    what: str
    path: str
    free: int
    writable: bool


@dataclass(frozen=True)
class Hub:
    """What the Hugging Face Hub says of this user.

    Attributes
    ----------
    endpoint : str
    login : str
        ``not asked`` if the network must not be used or the Hub cannot be reached.
    detail : str
        The user's name, or why nothing is known.
    """

    endpoint: str
    login: Login
    detail: str


def kept_folders() -> list[Folder]:
    """The Hub's cache of models, and the folder of results."""
    from huggingface_hub import constants

    return [
        _folder("downloaded models", Path(constants.HF_HUB_CACHE).expanduser()),
        _folder("results", results_folder()),
    ]


def hub() -> Hub:
    """Ask the Hub who this user is; gives up after a few seconds."""
    import httpx
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import build_hf_headers

    endpoint = constants.ENDPOINT
    if get_token() is None:
        return Hub(endpoint, "not logged in", "dev, krea-dev and dev-redux need `hf auth login`")
    if is_offline():
        return Hub(endpoint, "not asked", "there is a token; the network must not be used")
    try:
        answer = httpx.get(f"{endpoint}/api/whoami-v2", headers=build_hf_headers(), timeout=_TIMEOUT)
    except httpx.HTTPError as error:
        return Hub(
            endpoint, "not asked", f"there is a token; the Hub cannot be reached ({type(error).__name__})"
        )
    if answer.status_code in (401, 403):
        return Hub(endpoint, "refused", "the token is not valid; run `hf auth login` again")
    name = ""
    with contextlib.suppress(ValueError):
        name = str(answer.json().get("name", ""))
    if not answer.is_success or not name:
        return Hub(endpoint, "not asked", f"there is a token; the Hub answers {answer.status_code}")
    return Hub(endpoint, "logged in", f"as {name}")


def _folder(what: str, path: Path) -> Folder:
    existing = next(each for each in (path, *path.absolute().parents) if each.is_dir())
    return Folder(what, str(path), shutil.disk_usage(existing).free, os.access(existing, os.W_OK | os.X_OK))
