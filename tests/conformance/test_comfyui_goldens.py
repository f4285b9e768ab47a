"""ComfyUI's own results, node by node: :mod:`conformance.comfyui_goldens` says how they are stored.

The environment variable COMFYUI_GOLDENS names another folder of the same layout.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.comfyui_goldens import (
    Case,
    Run,
    arrays_of,
    cases,
    differences,
    in_places,
    new_session,
    run,
)

from run_graph.graph import Registry
from run_graph.nodes import NODES
from run_graph.runtime.engine.session import Session

FOLDER = Path(os.environ.get("COMFYUI_GOLDENS") or Path(__file__).parent / "goldens")
REGISTRY = Registry(NODES)

# ComfyUI 0.33 reads files through FFmpeg, we through Pillow. By capture: what FFmpeg would make of ours, to
# a sixth of an 8-bit step; None if only the decoders could tell.
Reading = Callable[[Any], Any] | None


def dark(samples: Any) -> Any:
    """Greys and palettes of 8 bits are widened to v * 256 / 65535, which is 0.4 % too dark."""
    return samples * np.float32(255 * 256 / 65535)


def clear(mask: Any) -> Any:
    """So is alpha: an opaque picture is masked by 0.0039."""
    return 1 - dark(1 - mask)


def clear_and_of_the_pictures_size(mask: Any) -> Any:
    """A GIF has alpha even if it is opaque; for us it has none, so that the mask is 64 x 64 zeros."""
    return clear(mask[:, :20, :24])


# One step of kl_optimal is not a number in ComfyUI, and 1 in ours.
ONE_STEP: dict[str, Reading] = {"kl_optimal_1_10": None, "kl_optimal_1_06": None}

LISTED: dict[str, dict[str, Reading]] = {
    "schedulers_dev": ONE_STEP,
    "schedulers_msf_1024x1024": ONE_STEP,
    "schedulers_schnell": ONE_STEP,
    "redux_bias_0": {"latent": None},  # a strength of 0 makes ComfyUI's latents NaN
    "vision_grey_center": {"vision": None},  # of the dark grey picture
    "vision_grey_none": {"vision": None},
    "load_grey_png": {"image": dark},
    "load_grey_alpha_png": {"image": dark, "mask": clear},
    "load_turned_jpg": {"image": None},  # FFmpeg repeats chroma samples, Pillow interpolates them
    "load_two_gif": {"image": dark, "mask": clear_and_of_the_pictures_size},
    "load_image_mask": {
        "grey_red": dark,
        "grey_blue": dark,
        "grey_alpha_red": dark,
        "grey_alpha_blue": dark,
        "grey_alpha_alpha": clear,
    },
}


@pytest.fixture(scope="module")
def session() -> Session:
    return new_session(REGISTRY)


@pytest.mark.parametrize("case", cases(FOLDER), ids=lambda case: case.name)
def test_everything_captured_equals_comfyuis(case: Case, session: Session, tmp_path: Path) -> None:
    if missing := case.missing_classes(REGISTRY):
        pytest.skip(f"needs {', '.join(missing)}")
    result = run(case, session, tmp_path)
    found = differences(result)
    listed = LISTED.get(case.name, {})
    assert {name: words for name, words in found.items() if name not in listed} == {}
    assert found.keys() == listed.keys()  # what is listed still differs
    for name, reading in listed.items():
        if reading is not None:
            ours = in_places(case, name, reading(arrays_of(result)[name]))
            np.testing.assert_allclose(ours, case.expected[name], rtol=0, atol=1 / 6 / 255)


# -- the comparison itself can fail -----------------------------------------------------------------


def changed(case: Case, **arrays: Any) -> Case:
    made = replace(case)
    made.__dict__["expected"] = {**case.expected, **arrays}
    return made


@pytest.fixture(scope="module")
def masks(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Run:
    # Of our own folder, whichever folder is tested.
    [case] = [each for each in cases(Path(__file__).parent / "goldens") if each.name == "mask_operations"]
    return run(case, session, tmp_path_factory.mktemp("out"))


def told(masks: Run, **arrays: Any) -> dict[str, str]:
    return differences(replace(masks, case=changed(masks.case, **arrays)))


def test_a_small_difference_is_found(masks: Run) -> None:
    ours = masks.case.expected["solid"]
    assert told(masks, solid=ours + np.float32(5e-5) * ours.max()) == {}
    assert "of the largest magnitude" in told(masks, solid=ours + np.float32(2e-4) * ours.max())["solid"]


def test_a_difference_between_the_samples_is_found_by_their_sum(masks: Run) -> None:
    norm = masks.case.expected["toimg.norm"]
    assert "add up to" in told(masks, **{"toimg.norm": norm * 1.001})["toimg"]


def test_another_shape_is_found(masks: Run) -> None:
    assert "shape (1, 12, 20)" in told(masks, solid=np.zeros((1, 20, 12), np.float32))["solid"]


def test_not_a_number_is_found(masks: Run) -> None:
    ours = masks.case.expected["solid"].copy()
    ours[0, 0, 0] = np.nan
    assert "not finite" in told(masks, solid=ours)["solid"]


def test_what_nothing_reads_is_found(masks: Run) -> None:
    assert "nothing to compare it with" in told(masks, _other=np.zeros(3, np.float32))["_other"]
