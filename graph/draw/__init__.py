"""Draw a workflow as SVG, mermaid or plain text; workflows with faults can be drawn too.

PNG needs Pillow, which `graph` does not import: :func:`runtime.cli.draw_png.draw_png` paints the same scene.
"""

from __future__ import annotations

from collections.abc import Callable

from run_graph.graph.draw.mermaid import draw_mermaid
from run_graph.graph.draw.svg import draw_svg
from run_graph.graph.draw.text import draw_text
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow

FORMATS: dict[str, Callable[[Workflow, Registry], str]] = {
    ".svg": draw_svg,
    ".mmd": draw_mermaid,
    ".txt": draw_text,
}


def draw(workflow: Workflow, registry: Registry, suffix: str) -> str:
    """Draw the workflow in the format of a file suffix.

    Parameters
    ----------
    suffix : str
        ``".svg"``, ``".mmd"`` or ``".txt"``, in either case.

    Raises
    ------
    ValueError
        For any other suffix; the message lists the supported ones.
    """
    drawer = FORMATS.get(suffix.lower())
    if drawer is None:
        raise ValueError(f"{suffix!r} is not a drawing format; use one of {', '.join(FORMATS)}")
    return drawer(workflow, registry)


__all__ = ["FORMATS", "draw", "draw_mermaid", "draw_svg", "draw_text"]
