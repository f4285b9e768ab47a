"""What can end a run early, worded for the user."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from run_graph.graph.faults import shorten
from run_graph.graph.third_party import error_text
from run_graph.runtime.mlx_backend import mlx_fault


class Cancelled(Exception):
    """The run was asked to stop, and stopped between two steps. Finished results stay cached."""


class NodeFailed(Exception):
    """A node raised an exception.

    Attributes
    ----------
    node_id, class_type : str
        Which node.
    inputs : dict
        Its inputs, shortened to one line each.
    error : str
        The class of what it raised.
    file : str or None
        The workflow file that it is in, if known.
    __cause__ : Exception
        What it raised. If that cannot be pickled, another process gets a RuntimeError with the same reason.
    """

    def __init__(self, node_id: str, class_type: str, inputs: Mapping[str, Any], cause: Exception) -> None:
        self.node_id = node_id
        self.class_type = class_type
        self.error = type(cause).__name__
        self.file: str | None = None
        self.inputs = {name: shorten(value) for name, value in inputs.items()}
        self.__cause__ = cause
        super().__init__(f"node {node_id!r} ({class_type}) failed: {self.reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        cause = self.__cause__
        portable = cause if _can_be_pickled(cause) else RuntimeError(self.reason)
        return _failure_of, (str(self), {**self.__dict__, "__cause__": portable})

    @property
    def reason(self) -> str:
        """The cause's own message, or its type if it has none."""
        cause = self.__cause__
        if isinstance(cause, ImportError) and (fault := mlx_fault()) is not None:
            return fault
        if isinstance(cause, ValidationError):
            return "; ".join(_of_value(cause.title, dict(detail)) for detail in cause.errors())
        text = "" if cause is None else error_text(cause)
        if isinstance(cause, KeyError | IndexError | AssertionError | RecursionError) or not text:
            return f"{type(cause).__name__}: {text}" if text else type(cause).__name__
        return text


def _failure_of(message: str, attributes: Mapping[str, Any]) -> NodeFailed:
    """A failure as it was in another process; its inputs are shortened already."""
    failure = NodeFailed.__new__(NodeFailed, message)
    for name, value in attributes.items():
        setattr(failure, name, value)
    return failure


def _can_be_pickled(error: BaseException | None) -> bool:
    """Whether another process would get the error: many classes with arguments of their own fail there."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


def _of_value(owner: str, detail: dict[str, Any]) -> str:
    """One of pydantic's findings on a line: ``Picture.image: input should be ... (found 5)``."""
    place = ".".join([owner, *map(str, detail["loc"])])
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{place}: {message} (found {shorten(detail['input'])})"


class ModelError(Exception):
    """Anything that keeps a model from being found, read or held."""


class UnknownModelError(ModelError):
    """The name is not an alias, a folder or a Hugging Face repository id."""


class CheckpointError(ModelError):
    """A checkpoint's files are missing, damaged, or do not fit together."""


class LoraError(ModelError):
    """A LoRA's file is missing, damaged, or does not fit the model."""


class DownloadError(ModelError):
    """Files could not be fetched from the Hugging Face Hub."""


class MemoryLimitError(ModelError):
    """A component does not fit in the memory that the user allowed."""
