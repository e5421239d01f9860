"""Everything a user can cause, by name, each with a code that scripts can act on and a hint."""

from __future__ import annotations

from typing import ClassVar


class SimCroPError(Exception):
    """A fault in the input or the environment: what was wrong, and what to do about it.

    Args:
        message: what was wrong, in the user's words.
        hint: what to do about it.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Cancelled(SimCroPError):
    """The caller asked the work to stop."""

    code = "cancelled"


class UnreadableFile(SimCroPError):
    """The path is missing, truncated, or not an image format the engine reads."""

    code = "unreadable-file"


class ReadingTookTooLong(SimCroPError):
    """Reading the file needed more time than any scan does."""

    code = "reading-took-too-long"


class NotACT(SimCroPError):
    """It is an image, but of another modality, a localizer, a projection (MIP) or a picture of a screen."""

    code = "not-a-ct"


class NotASingleVolume(SimCroPError):
    """The file holds several volumes (4D), colours (RGB), or too few slices to be one CT volume."""

    code = "not-a-single-volume"


class NoSuchFrame(SimCroPError):
    """The file does not hold the volume that was named by number."""

    code = "no-such-frame"


class SeriesChoiceNeeded(SimCroPError):
    """The folder or archive holds several CT series and none was named."""

    code = "series-choice-needed"


class BrokenGeometry(SimCroPError):
    """The header does not say where the voxels are, or says it in two ways that disagree."""

    code = "broken-geometry"


class NotHounsfield(SimCroPError):
    """The voxels are not Hounsfield units and cannot be turned into them."""

    code = "not-hounsfield"


class NotAChest(SimCroPError):
    """No lungs were found in the field of view."""

    code = "not-a-chest"


class UnknownWeights(SimCroPError):
    """No weights have that name, or the file is not a SimCroP weights file."""

    code = "unknown-weights"


class IncompatibleWeights(SimCroPError):
    """The tensors do not fit the model: keys missing, or shapes that disagree."""

    code = "incompatible-weights"


class UnsafeWeights(SimCroPError):
    """The file holds something else than tensors and plain values, and was not opened further."""

    code = "unsafe-weights"


class WidthMismatch(SimCroPError):
    """Features and embeddings come from different models."""

    code = "width-mismatch"


class NothingToGround(SimCroPError):
    """The report or sentence list holds no sentence."""

    code = "nothing-to-ground"


class TaskNotSupported(SimCroPError):
    """The weights in use have no head for the task."""

    code = "task-not-supported"


class OutOfMemory(SimCroPError):
    """The work does not fit the device, even in its smallest windows."""

    code = "out-of-memory"


class DeviceUnavailable(SimCroPError):
    """The device asked for does not exist on this machine."""

    code = "device-unavailable"


class MissingDependency(SimCroPError):
    """An optional package is needed for this and is not installed."""

    code = "missing-dependency"


class CannotWrite(SimCroPError):
    """A result could not be written; nothing half-written was left behind."""

    code = "cannot-write"


class DownloadFailed(SimCroPError):
    """A file could not be fetched, or its checksum is not the expected one."""

    code = "download-failed"


class NotAuthorised(SimCroPError):
    """The server does not know the token, or the request came without one."""

    code = "not-authorised"


class BadRequest(SimCroPError):
    """The server cannot make sense of the request."""

    code = "bad-request"


class TooLarge(SimCroPError):
    """The request, or what it would unpack to, is beyond the server's limits."""

    code = "too-large"


class UnknownSession(SimCroPError):
    """The server has no such session: its lease ended, it was freed, or the server was restarted."""

    code = "unknown-session"


class UnknownVolume(SimCroPError):
    """The server does not hold a volume of that content for this token."""

    code = "unknown-volume"


class ServerBusy(SimCroPError):
    """The server's queue is full."""

    code = "server-busy"


class ServerUnreachable(SimCroPError):
    """Nothing answers at the address, or the connection broke."""

    code = "server-unreachable"


class BrokenAnswer(SimCroPError):
    """What came over the connection is not in the server's protocol, or another version of it."""

    code = "broken-answer"


class InternalFault(SimCroPError):
    """The server, or a process of this machine that was to help, failed for a reason that is its own."""

    code = "internal-fault"


class CannotListen(SimCroPError):
    """The server cannot listen on that address, or not like this."""

    code = "cannot-listen"


class UnknownDataSet(SimCroPError):
    """A folder or table is no data set that is read, or its tables lack what is needed."""

    code = "unknown-data-set"


class DamagedStore(SimCroPError):
    """Files of a training store are missing, cut off or damaged."""

    code = "damaged-store"


def error_of(code: str, message: str, hint: str = "") -> SimCroPError:
    """The error with that code; codes that this version does not know become a plain `SimCroPError`."""
    kinds = {kind.code: kind for kind in SimCroPError.__subclasses__()}
    return kinds.get(code, SimCroPError)(message, hint=hint)
