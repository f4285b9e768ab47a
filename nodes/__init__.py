"""The built-in node classes. Importing them loads no model code.

A class in one of the family modules is a node of this package; it is not named anywhere else.
"""

from types import ModuleType

from run_graph.graph import Node
from run_graph.nodes import comfyui, flux, image, loaders, lora, model_saving, redux, text, translate, vision
from run_graph.nodes.comfyui import *  # noqa: F403
from run_graph.nodes.flux import *  # noqa: F403
from run_graph.nodes.image import *  # noqa: F403
from run_graph.nodes.loaders import *  # noqa: F403
from run_graph.nodes.lora import *  # noqa: F403
from run_graph.nodes.model_saving import *  # noqa: F403
from run_graph.nodes.redux import *  # noqa: F403
from run_graph.nodes.text import *  # noqa: F403
from run_graph.nodes.translate import *  # noqa: F403
from run_graph.nodes.vision import *  # noqa: F403

if __name__ != "run_graph.nodes":
    raise ImportError("the package is called run_graph: import run_graph.nodes instead of nodes")


def _defined_in(family: ModuleType) -> list[type[Node]]:
    """The node classes of a module, in the order of their definition; not those whose names begin with _."""
    return [
        value
        for name, value in vars(family).items()
        if isinstance(value, type)
        and issubclass(value, Node)
        and value.__module__ == family.__name__
        and not name.startswith("_")
    ]


FAMILIES = (
    image,
    loaders,
    lora,
    model_saving,
    vision,
    redux,
    text,
    translate,
    flux,
    *comfyui.COMFYUI_FAMILIES,
)

NODES = [node_class for family in FAMILIES for node_class in _defined_in(family)]
