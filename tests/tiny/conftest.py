"""One painter for all tests in this folder, so that the weights are loaded once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pictures import Painter


@pytest.fixture(scope="session")
def painter() -> Painter:
    return Painter()
