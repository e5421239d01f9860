"""How urgent the engine is beside the program that the user looks at."""

from __future__ import annotations

import sys

import psutil

_NICE = 5


def give_way() -> None:
    """Leave the processor to others when they want it: a window that waits for it is felt, an encoding is not."""
    own = psutil.Process()
    if sys.platform == "win32":
        own.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        # Nobody but the administrator may make a process more urgent than it was.
        own.nice(max(own.nice(), _NICE))
