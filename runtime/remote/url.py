"""How the user names a server. Imports little: the command line reads it before it knows what it is to do."""

from __future__ import annotations

from urllib.parse import urlsplit

from run_graph.runtime.remote.errors import ServerError

TOKEN_VARIABLE = "RUN_GRAPH_TOKEN"


def checked_url(text: str) -> str:
    """The URL of a server; ``http://`` may be left out. Raises ServerError."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
        parts.port  # noqa: B018 - raises if it is no number
    except ValueError:
        good = False
    if not good or any(character.isspace() for character in url):
        raise ServerError(f"{text!r} is not the address of a server, such as http://127.0.0.1:8188")
    return url.rstrip("/")
