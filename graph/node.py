"""The base class of nodes. A node class declares everything about one stage of a workflow, once.

A node is a pydantic class whose fields are its inputs. A field annotated with a :class:`graph.SocketValue`
class is a socket, which takes only a link. A field annotated with a plain type is a parameter, which takes
a literal or a link. The return annotation of ``run`` declares the outputs. Validation, the JSON schema,
``run-graph --describe`` and the reference docs are all derived from this one declaration.

Examples
--------
>>> from run_graph.graph import Context, Field, Node, Outputs
>>> class Quotient(Outputs):
...     value: float
>>> class Halve(Node):
...     '''Divide a number by two.'''
...
...     category = "maths"
...     value: float = Field(description="The number to halve.", ge=0)
...
...     def run(self, ctx: Context) -> Quotient:
...         return Quotient(value=self.value / 2)
>>> Halve(value=3).run(ctx=None).value
1.5
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema

from run_graph.graph.context import Context, Environment
from run_graph.graph.docstring import with_inputs
from run_graph.graph.effects import Effect
from run_graph.graph.faults import Problem
from run_graph.graph.link_schema import accept_links


class Outputs(BaseModel):
    """Base class for the outputs of a node: one field for each slot, in slot order."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LazyMarker:
    """Marks an input that is computed only if :meth:`Node.required_lazy_inputs` asks for it."""


Value = TypeVar("Value")
Lazy = Annotated[Value, LazyMarker()]


class Node(BaseModel):
    """Base class of all nodes.

    Class attributes
    ----------------
    category : str
        The heading under which it is listed, such as ``"redux"`` or ``"image/load"``.
    version : int
        Increase it when the same inputs begin to give a different result. It is part of the result's key,
        so results of the older version are not reused.
    is_output : bool
        True for a node that is run for its side effects, such as saving a file. A workflow needs at least
        one, unless targets are given.
    forwards_models : bool
        True for a node that takes models and returns them, perhaps changed, without computing with them,
        such as one that applies a LoRA. Such nodes run first, so that their errors appear before any
        weights are loaded.
    persistent : bool
        False for a node whose result takes no longer to compute than to read from the disk cache, such as
        the content of a file. The result is then not stored in the disk cache.
    runs_in_background : bool
        True for a node that uses neither models nor MLX, such as one that compresses and writes a file. It
        may run on another thread while other nodes compute, so ``run`` must be thread-safe.
    heavy : bool or None
        Whether it is worth sending to another machine (:mod:`runtime.cluster`). Such a node reads no files of
        this machine. Default (None): whether it computes with a model.
    stock : bool
        True for one of ComfyUI's own nodes. Files that other versions of ComfyUI wrote may lack inputs of it,
        which are filled in when they are read, or have others, which are left out. Default: whether it is in
        a package called ``comfyui``.
    class_type : str
        The name in workflow files. Default: the name of the class.

    Instances are immutable. In ``run`` every input holds a value, except a linked lazy input that was not
    asked for. In ``fingerprint``, ``is_still_valid``, ``check`` and ``effects``, a linked input holds a
    :class:`graph.Link` instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    category: ClassVar[str] = ""
    version: ClassVar[int] = 1
    is_output: ClassVar[bool] = False
    forwards_models: ClassVar[bool] = False
    persistent: ClassVar[bool] = True
    runs_in_background: ClassVar[bool] = False
    heavy: ClassVar[bool | None] = None
    stock: ClassVar[bool] = False
    class_type: ClassVar[str] = ""

    if not TYPE_CHECKING:  # type checkers derive the parameters from the fields

        def __init__(self, /, *unnamed: Any, **values: Any) -> None:
            """Create a node from values, links and, where a file is named, paths.

            Raises
            ------
            WorkflowError
                If a value is wrong; names each, with what is expected and the fix.
            """
            if unnamed:
                name = next(iter(type(self).model_fields), "name")
                raise TypeError(f"{type(self).__name__} takes its inputs by name, such as {name}=...")
            try:
                super().__init__(**values)
            except ValidationError as error:
                # Imported here: both import this module, and they are needed only now.
                from run_graph.graph.builder_faults import rejected
                from run_graph.graph.declaration import paths_as_text

                texts = paths_as_text(type(self), values)
                if not texts:
                    raise rejected(error, type(self), values) from None
                self.__init__(**{**values, **texts})

        # Pydantic then still validates without calling __init__, as it does for BaseModel's own: workflow
        # files are read that way, and the call would cost as much again.
        __init__.__pydantic_base_init__ = True

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if "class_type" not in cls.__dict__:
            cls.class_type = cls.__name__
        if "stock" not in cls.__dict__:
            cls.stock = "comfyui" in cls.__module__.split(".")
        if cls.__doc__:
            inputs = {name: info.description or "" for name, info in cls.model_fields.items()}
            cls.__doc__ = with_inputs(cls.__doc__, inputs)

    def run(self, ctx: Context) -> Outputs:
        """Compute the outputs from the inputs and the context only, without global or hidden state.

        The return annotation must be a subclass of :class:`Outputs`, which declares the outputs.
        """
        raise NotImplementedError(f"{type(self).__name__} has no run method")

    def required_lazy_inputs(self) -> Collection[str]:
        """The names of the lazy inputs that ``run`` will read, given the inputs that are known so far.

        Called while a linked input that is declared ``Lazy[...]`` has not been computed. Inputs that are
        not lazy hold their values; a linked lazy input holds a link until it has been computed. The inputs
        that are named are computed, then the method is called again, until it names no new ones. Naming an
        input that is not lazy, or already has a value, does no harm. Default: all inputs.
        """
        return type(self).model_fields.keys()

    def fingerprint(self, env: Environment) -> Any:
        """What the result depends on besides the inputs, as a JSON value, such as the digest of a file.

        It is part of the result's key. Linked inputs hold links here. To make a node run every time, return
        a different value at each call; the nodes that read its outputs run again only if those change.

        A node that reads a file names its content with ``env.digest_of_input`` here, and reads it with
        ``ctx.read_input`` in ``run``. This method is called again after ``run``, and a result that no longer
        has the planned fingerprint is not kept.
        """
        return None

    def is_still_valid(self, outputs: Any) -> bool:
        """Whether the result of an earlier run can be reused; if not, the node runs again.

        For nodes with results outside the graph: a file that was written may have been deleted since.
        ``outputs`` is what ``run`` returned. Linked inputs hold links here. Default: True.
        """
        return True

    def check(self, env: Environment) -> Iterable[Problem]:
        """Problems that types and ranges cannot express, such as a missing file. Default: none.

        Called before any node runs, once types, ranges and links are correct. Linked inputs hold links
        here. Must be fast and must not import model code.
        """
        return ()

    def effects(self, env: Environment) -> Iterable[Effect]:
        """What ``run`` would read, write or download. Default: nothing.

        Shown before a workflow of somebody else runs, and by ``run-graph --validate``. A path that is found
        with ``env.find_input`` stays within the folders that the user allows in any case.
        """
        return ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        accept_links(cast("dict[str, Any]", handler.resolve_ref_schema(schema)))
        return schema


NodeType = TypeVar("NodeType", bound=Node)


def validated(node_class: type[NodeType], values: dict[str, Any]) -> NodeType:
    """``node_class.model_validate(values)`` without the overhead of that method, a third of its time.

    Raises
    ------
    pydantic.ValidationError
    """
    node: NodeType = node_class.__pydantic_validator__.validate_python(values)
    return node
