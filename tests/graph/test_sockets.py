"""Socket types: how annotations translate to them, and which output fits which input."""

from typing import Annotated, Any, Literal

import pytest
from sample_nodes import Image, Mask

from run_graph.graph import Lazy
from run_graph.graph.sockets import compatible, is_link_only, socket_type


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, "INT"),
        (float, "FLOAT"),
        (str, "STRING"),
        (bool, "BOOLEAN"),
        (Any, "*"),
        (Literal["a", "b"], "COMBO"),
        (Image, "IMAGE"),
        (Image | None, "IMAGE"),
        (int | float, "INT,FLOAT"),
        (int | float | None, "INT,FLOAT"),
        (Annotated[int, "some metadata"], "INT"),
        (Lazy[Image], "IMAGE"),
        (Image | Mask, "IMAGE,MASK"),
    ],
)
def test_annotations_get_the_type_names_of_comfyui(annotation: Any, expected: str) -> None:
    assert socket_type(annotation) == expected


@pytest.mark.parametrize("annotation", [list[int], dict, object, bytes])
def test_an_annotation_without_socket_type_is_refused_with_the_alternatives(annotation: Any) -> None:
    with pytest.raises(TypeError, match=r"has no socket type: use int, float, .*SocketValue"):
        socket_type(annotation)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Image, True),
        (Image | None, True),
        (Lazy[Image], True),
        (Image | int, False),
        (int, False),
        (Any, False),
        (Literal["a"], False),
    ],
)
def test_only_links_can_provide_socket_values(annotation: Any, expected: bool) -> None:
    assert is_link_only(annotation) is expected


@pytest.mark.parametrize(
    ("produced", "accepted", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("*", "IMAGE", True),
        ("IMAGE", "*", True),
        ("INT", "FLOAT", True),
        ("FLOAT", "INT", False),
        ("COMBO", "STRING", True),
        ("STRING", "COMBO", False),
        ("BOOLEAN", "INT", False),
        ("INT", "STRING", False),
        ("INT,FLOAT", "INT", True),
        ("INT", "STRING,FLOAT", True),
        ("IMAGE,MASK", "LATENT,MASK", True),
        ("IMAGE,MASK", "LATENT,VAE", False),
        ("A_TYPE_OF_SOMEBODY_ELSE", "A_TYPE_OF_SOMEBODY_ELSE", True),
        ("image", "IMAGE", False),
    ],
)
def test_which_output_fits_which_input(produced: str, accepted: str, fits: bool) -> None:
    assert compatible(produced, accepted) is fits
