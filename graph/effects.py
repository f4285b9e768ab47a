"""What a node does outside the graph: files that it reads and writes, models that it downloads.

A node declares it in :meth:`graph.Node.effects`. The list lets a user see what somebody else's workflow would
do before it does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EffectKind = Literal["read", "model", "write", "download", "package"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a node does outside the graph.

    Attributes
    ----------
    kind : str
        ``"read"`` a file, use a ``"model"`` that is on this machine, ``"write"`` into a folder,
        ``"download"`` from the Hugging Face Hub, or ``"package"``: run the code of a node package that is
        not part of run-graph.
    target : str
        The path, repository or package.
    input : str or None
        The input that names the target.
    size : int or None
        Bytes to download, if known.
    node_id : str or None
        The node; None while the node itself declares it.
    """

    kind: EffectKind
    target: str
    input: str | None = None
    size: int | None = None
    node_id: str | None = None
