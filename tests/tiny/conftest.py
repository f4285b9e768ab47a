"""One painter for all tests of this folder, so that weights are read once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pictures import Painter


@pytest.fixture(scope="session")
def painter() -> Painter:
    return Painter()
