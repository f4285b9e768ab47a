"""JSON in and out: strict both ways, and ComfyUI's form of an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.responses import Response


class Refused(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    type_ : str
        ComfyUI's name of the error, or ours where it has none.
    message, details : str
        What is wrong, and where or how to fix it.
    status : int
        Of HTTP.
    extra : mapping
        Further facts for programs.
    node_errors : mapping
        What is wrong with single nodes, by id.
    """

    def __init__(
        self,
        type_: str,
        message: str,
        details: str = "",
        *,
        status: int = 400,
        extra: Mapping[str, Any] | None = None,
        node_errors: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.document = {
            "error": {"type": type_, "message": message, "details": details, "extra_info": dict(extra or {})},
            "node_errors": dict(node_errors or {}),
        }


def dumped(document: Any) -> str:
    """JSON as any client reads it: ASCII only, so that broken Unicode cannot break an answer; no NaN."""
    return json.dumps(document, allow_nan=False, separators=(",", ":"))


def reply(document: Any, status: int = 200) -> Response:
    """An answer with a JSON document."""
    return json_text(dumped(document), status)


def json_text(text: str, status: int = 200) -> Response:
    """An answer with JSON that has been written already."""
    return Response(text, status, media_type="application/json")


def done() -> Response:
    """The empty answer to a request that was carried out."""
    return Response(b"")


def parsed(body: bytes, *, empty: Any = None) -> Any:
    """The JSON document in a request's body, whatever content type it names.

    Parameters
    ----------
    body : bytes
    empty : object
        What an empty body stands for; by default it is an error.

    Raises
    ------
    Refused
        If it is not JSON, or has NaN, infinite numbers, or more depth or digits than Python reads.
    """
    if empty is not None and not body.strip():
        return empty
    try:
        return json.loads(body, parse_constant=_no_number)
    except RecursionError:
        raise Refused("invalid_json", "The JSON is nested too deeply", "Flatten it.") from None
    except ValueError as error:  # also of text that is not UTF-8, and of too many digits
        raise Refused("invalid_json", "The request is not JSON", str(error)[:200]) from None


def parsed_object(body: bytes, *, optional: bool = False) -> dict[str, Any]:
    """The JSON object in a request's body; ``{}`` for an empty one if it is optional. Raises Refused."""
    document = parsed(body, empty={} if optional else None)
    if not isinstance(document, dict):
        raise Refused("invalid_request", "The request is not a JSON object", 'Send {"name": value, ...}.')
    return document


def texts(document: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts in a request's document; empty if it is absent. Raises Refused."""
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Refused("invalid_request", f"{name} is not a list of texts", f'Send {{"{name}": ["..."]}}.')
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")
