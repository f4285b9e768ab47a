"""The node: one class states everything about a stage once.

A node is a pydantic class. Its fields are its inputs: annotated with a :class:`graph.SocketValue` class
they are sockets that only a link can feed; annotated with a plain type they are parameters, given as a
literal or by a link. The return annotation of ``run`` names its outputs. Validation, JSON schema, the
command line's ``--describe`` and the reference docs are all read off this one declaration.

Examples
--------
>>> class Half(Outputs):
...     value: float
>>> class Halve(Node):
...     '''Divide a number by two.'''
...     category = "maths"
...     value: float = Field(description="The number to halve.", ge=0)
...
...     def run(self, ctx: Context) -> Half:
...         return Half(value=self.value / 2)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from run_graph.graph.context import Context, Environment
from run_graph.graph.faults import Problem
from run_graph.graph.link_schema import let_links_pass


class Outputs(BaseModel):
    """Base of a node's named outputs; the order of the fields is the order of the slots."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LazyMarker:
    """Marks an input that is computed only if the node asks for it (:meth:`Node.required_lazy_inputs`)."""


Value = TypeVar("Value")
Lazy = Annotated[Value, LazyMarker()]


class Node(BaseModel):
    """Base of all nodes.

    Class attributes
    ----------------
    category : str
        Where menus and the reference list it, such as ``"redux"`` or ``"image/load"``.
    version : int
        Raised when the same inputs come to give a different result; part of the result's key.
    is_output : bool
        True for nodes that are run for their effect (saving a file); a workflow needs at least one.
    forwards_models : bool
        True for nodes that take models and hand them on without computing with them: they run first, so
        that what they refuse is refused before anything is loaded.
    persistent : bool
        False for nodes whose result is had again as quickly as read from a cache on the disk, such as a
        file's content: it is not kept there.
    runs_in_background : bool
        True for nodes that touch neither models nor MLX, such as one that compresses and writes a file:
        they may run on another thread while the next stage computes.
    class_type : str
        The name in workflow files. The class's own name unless given.

    Instances are immutable. An instance's fields hold literals and, before the run, links; while
    ``run`` executes, every link has been replaced by the value that it delivers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    category: ClassVar[str] = ""
    version: ClassVar[int] = 1
    is_output: ClassVar[bool] = False
    forwards_models: ClassVar[bool] = False
    persistent: ClassVar[bool] = True
    runs_in_background: ClassVar[bool] = False
    class_type: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if "class_type" not in cls.__dict__:
            cls.class_type = cls.__name__

    def run(self, ctx: Context) -> Outputs:
        """Compute the outputs. A function of the inputs and the context: no globals, no own state.

        The return annotation must be the node's own :class:`Outputs` class.
        """
        raise NotImplementedError(f"{type(self).__name__} has no run method")

    def required_lazy_inputs(self) -> Collection[str]:
        """The lazy inputs that ``run`` will read, judged by the other inputs' values.

        Asked again after those have been computed, until it names nothing new. Names of lazy inputs
        that are literals or already computed may be repeated. Default: all of them.
        """
        return type(self).model_fields.keys()

    def fingerprint(self, env: Environment) -> Any:
        """What the result depends on besides the inputs, such as a file's digest, as a JSON value.

        Part of the result's key. Linked inputs still hold links here. A value that differs at each
        call makes the node volatile: it runs every time, and what reads it whenever its result changed.
        """
        return None

    def is_still_valid(self, outputs: Any) -> bool:
        """Whether a result of an earlier run may be used instead of running again.

        For nodes whose result lies outside the graph: a file that was written may be gone. ``outputs`` is
        what ``run`` returned then. Linked inputs still hold links here.
        """
        return True

    def check(self, env: Environment) -> Iterable[Problem]:
        """Faults that types and ranges cannot express, such as a missing file.

        Called before anything runs, when types and ranges hold. Linked inputs still hold links here.
        Must be quick and import no model code.
        """
        return ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        let_links_pass(cast("dict[str, Any]", handler.resolve_ref_schema(schema)))
        return schema


NodeType = TypeVar("NodeType", bound=Node)


def validated(node_class: type[NodeType], values: dict[str, Any]) -> NodeType:
    """``node_class.model_validate(values)`` without what that does before and after, a third of its time.

    Raises
    ------
    pydantic.ValidationError
    """
    node: NodeType = node_class.__pydantic_validator__.validate_python(values)
    return node
