"""Samplers equal ComfyUI's of the same names: latents, last denoised pictures, levels of evaluations."""

import numpy as np
import pytest
from comfyui_sampler_cases import Case, names, sampled

from run_graph.runtime.sampling.samplers import SAMPLERS


@pytest.mark.parametrize("name", names())
def test_a_run_of_a_sampler_is_comfyuis(name: str) -> None:
    case = Case(name)
    found = sampled(case)
    np.testing.assert_allclose(found.levels, case.expected["_calls"][:, 0], atol=1e-6)
    for key, ours in (("latent", found.latent), ("denoised", found.denoised)):
        if key in case.expected:
            error = np.abs(case.in_places(key, ours) - case.expected[key]).max()
            assert error <= case.allowed(key), key


def test_every_sampler_has_a_case() -> None:
    """Those that end in _gpu have the row of the sampler without it."""
    rows = [SAMPLERS[Case(name).sampler[0]] for name in names()]
    assert [name for name, row in SAMPLERS.items() if row not in rows] == []
