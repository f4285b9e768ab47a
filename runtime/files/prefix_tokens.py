"""The tokens that a file name prefix may contain, such as ``%year%``."""

from __future__ import annotations

import re
from datetime import datetime

_TOKEN = re.compile(r"%(width|height|year|month|day|hour|minute|second)%")


def expand_tokens(prefix: str, *, width: int, height: int, now: datetime | None = None) -> str:
    """Replace ComfyUI's server-side tokens in a file name prefix.

    ``%width%`` and ``%height%`` become the picture's size in pixels. ``%year%`` becomes the year in four
    digits; ``%month%``, ``%day%``, ``%hour%``, ``%minute%`` and ``%second%`` have two digits each, in local
    time. Anything else between percent signs is left unchanged.

    Parameters
    ----------
    prefix : str
        The prefix as written in the workflow.
    width, height : int
        Size of the picture, pixels.
    now : datetime, optional
        The time to use; the current time by default.
    """
    time = now or datetime.now()
    values = {
        "width": str(width),
        "height": str(height),
        "year": f"{time.year:04}",
        "month": f"{time.month:02}",
        "day": f"{time.day:02}",
        "hour": f"{time.hour:02}",
        "minute": f"{time.minute:02}",
        "second": f"{time.second:02}",
    }
    return _TOKEN.sub(lambda match: values[match[1]], prefix)
