"""What is fuzzed: each target takes any bytes, and only a named error may come of them.

A target returns whether the bytes were understood; whatever it raises is a finding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from simcrop_core.errors import SimCroPError
from simcrop_core.imaging.itk import open_itk
from simcrop_core.imaging.nifti import open_nifti
from simcrop_core.imaging.passport import check
from simcrop_core.serve import wire
from simcrop_core.text.report import parse_report, parse_sentence

MOST_FRAME_BYTES = 1 << 20
LONGEST_LINE = 1 << 16


@cache
def _folder() -> Path:
    """Files are written where the system keeps its temporary ones; in memory, if TMPDIR says so."""
    return Path(tempfile.mkdtemp(prefix="simcrop-fuzz-"))


def nifti(data: bytes) -> bool:
    """A NIfTI file: header, voxels, passport."""
    path = _folder() / "fuzzed.nii.gz"
    path.write_bytes(data)
    try:
        with open_nifti(path) as scan:
            volume, findings = check(scan.decode())
    except SimCroPError as error:
        return _named(error)
    assert volume.shape == scan.header.shape
    assert len({finding.code for finding in findings}) == len(findings)
    return True


def nrrd(data: bytes) -> bool:
    """The same of NRRD."""
    return _itk(data, "NrrdImageIO", ".nrrd")


def metaimage(data: bytes) -> bool:
    """The same of MetaImage."""
    return _itk(data, "MetaImageIO", ".mha")


def _itk(data: bytes, image_io: str, suffix: str) -> bool:
    path = _folder() / f"fuzzed{suffix}"
    path.write_bytes(data)
    try:
        with open_itk(path, image_io) as scan:
            volume, _ = check(scan.decode())
    except SimCroPError as error:
        return _named(error)
    assert volume.shape == scan.header.shape
    return True


def report(data: bytes) -> bool:
    """A report of any characters: it is split, every sentence is read, and no word is made up."""
    text = data.decode("utf-8", "replace")
    for statement in parse_report(text):
        assert statement.text == " ".join(statement.text.split())
        assert _left_out(statement.text, text)
        assert parse_sentence(statement.text, heading=statement.heading).polarity == statement.polarity
    return True


def _left_out(sentence: str, text: str) -> bool:
    """Whether the sentence is the text with parts left out (its neighbours, the numbers of a list), and none added."""
    letters = iter(text)
    return all(letter in letters for letter in sentence if not letter.isspace())


def frames(data: bytes) -> bool:
    """What a client sends to the server: whole or byte by byte, the same comes out."""
    return _decoded(data, len(data) or 1) == _decoded(data, 7)


def _decoded(data: bytes, piece: int) -> bool:
    decoder = wire.FrameDecoder(most_bytes=MOST_FRAME_BYTES, longest_line=LONGEST_LINE)
    try:
        for start in range(0, len(data), piece):
            decoder.feed(data[start : start + piece])
            for event in decoder.events():
                if isinstance(event, wire.FaultEvent):
                    event.error()
    except SimCroPError as error:
        return _named(error)
    assert sum(array.nbytes for array in decoder.arrays.values()) <= MOST_FRAME_BYTES
    return True


def answer(data: bytes) -> bool:
    """What a server, or something else at its address, answers to a client: HTTP with frames or JSON in it."""
    exchange = wire.Exchange(wire.health(), "127.0.0.1:1", "token")
    try:
        for start in range(0, len(data), 50):
            exchange.receive(data[start : start + 50])
            for event in exchange.events():
                if isinstance(event, wire.FaultEvent):
                    event.error()
        exchange.connection_closed()
    except SimCroPError as error:
        return _named(error)
    return True


def _named(error: SimCroPError) -> bool:
    """A refusal counts only if it says something and has a code of its own."""
    assert error.message
    assert error.code != SimCroPError.code or type(error) is not SimCroPError
    return False


TARGETS: dict[str, Callable[[bytes], bool]] = {
    target.__name__: target for target in (nifti, nrrd, metaimage, report, frames, answer)
}
