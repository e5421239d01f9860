"""Faults as answers: code, message and hint for the client, and never a patient's words in the log."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Any

from simcrop_core.errors import (
    BadRequest,
    BrokenAnswer,
    InternalFault,
    NotAuthorised,
    OutOfMemory,
    ServerBusy,
    SimCroPError,
    TooLarge,
    UnknownSession,
    UnknownVolume,
)
from simcrop_core.inference.device import is_out_of_memory

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

LOG = logging.getLogger("simcrop.serve")

_STATUS: dict[type[SimCroPError], int] = {
    NotAuthorised: 401,
    UnknownSession: 404,
    UnknownVolume: 404,
    TooLarge: 413,
    ServerBusy: 429,
    BadRequest: 400,
    BrokenAnswer: 400,
    InternalFault: 500,
}


def status_of(fault: SimCroPError) -> int:
    """The HTTP status that goes with a fault; 422 for what is wrong with a scan or a sentence."""
    return _STATUS.get(type(fault), 422)


def document_of(fault: SimCroPError) -> dict[str, Any]:
    """The JSON of a fault."""
    return {"code": fault.code, "message": fault.message, "hint": fault.hint}


class Discreet(logging.Formatter):
    """Writes of an exception its kind and where in the code it happened, in every log of the process.

    Its words are left out: they may hold what a patient's report says, or the name of a file.
    """

    def formatException(self, ei: ExceptionInfo) -> str:
        """The kind and the places."""
        kind, _, trace = ei
        places = [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
        return "\n".join([kind.__name__ if kind else "no exception", *places])


def named(fault: BaseException) -> SimCroPError:
    """The fault itself if it has a name; else it is logged, and the client is told that the server is at fault.

    Memory may run out anywhere, so that has its name wherever it happens.
    """
    if isinstance(fault, SimCroPError):
        return fault
    if isinstance(fault, RuntimeError | MemoryError) and is_out_of_memory(fault):
        LOG.error("The server is out of memory.", exc_info=fault)
        return OutOfMemory(
            "The server has no memory left for this.",
            hint="Ask again when others are done, send a smaller scan, or use a larger machine.",
        )
    LOG.error("The server failed.", exc_info=fault)
    return InternalFault(
        f"The server failed ({type(fault).__name__}).", hint="Its log says where. Ask again, or restart the server."
    )
