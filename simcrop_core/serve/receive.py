"""A volume off the wire: unpacked as it arrives, refused by name as soon as it shows what it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from starlette.requests import ClientDisconnect

from simcrop_core.errors import BadRequest
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.single_volume import single_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.imaging.voxel_values import to_hounsfield
from simcrop_core.results import PassportFinding
from simcrop_core.serve.content_id import content_id
from simcrop_core.serve.frames import ArrayPart, FrameDecoder
from simcrop_core.serve.store import Store

_LONGEST_LINE = 64 << 10
_LONGEST_NAME = 200
# A client that has gone without a word must not keep others from the memory that its volume was to take.
STALLED_S = 60.0


async def receive_volume(
    pieces: AsyncIterator[bytes], store: Store, *, most_bytes: int, stalled_s: float = STALLED_S
) -> tuple[str, Volume, list[PassportFinding]]:
    """The id of a volume's content, the volume as the passport left it, and what that found.

    Args:
        pieces: the body of the request.
        store: whose memory it takes.
        most_bytes: unpacked.
        stalled_s: longest wait for the next piece.

    Raises:
        BadRequest: the body is not one volume, or nothing more of it came.
        BrokenAnswer: the body is not in the protocol.
        TooLarge: it has more than `most_bytes`.
        OutOfMemory: the store has no room for it.
        SimCroPError: the passport refused it (docs/passport.md).
    """
    decoder = FrameDecoder(most_bytes=most_bytes, longest_line=_LONGEST_LINE)
    arrived: dict[str, int] = {}
    with _reserved(store) as reserve:
        try:
            while (piece := await asyncio.wait_for(anext(pieces, None), stalled_s)) is not None:
                decoder.feed(piece)
                events = await asyncio.to_thread(list, decoder.events())
                store.expect(sum(array.nbytes for array in decoder.arrays.values()) - sum(arrived.values()))
                arrived |= {event.name: event.done for event in events if isinstance(event, ArrayPart)}
                reserve(sum(arrived.values()))
        except ClientDisconnect as gone:
            raise BadRequest("The connection ended before the volume did.", hint="Send it again.") from gone
        except TimeoutError as stalled:
            raise BadRequest("Nothing more of the volume came.", hint="Send it again.") from stalled
        if not decoder.between_events or set(decoder.arrays) != {"voxels"}:
            raise BadRequest("The request does not hold one whole volume.", hint="Send it again.")
        return await asyncio.to_thread(_checked, decoder)


@contextmanager
def _reserved(store: Store) -> Iterator[Any]:
    """Memory set aside as the volume arrives, and given back when it is held or given up.

    What is only announced drops no scan that somebody may still ask about.
    """
    size = 0

    def reserve(needed: int) -> None:
        nonlocal size
        if needed > size:
            store.reserve(needed - size)
            size = needed

    try:
        yield reserve
    finally:
        store.release(size)


def _checked(decoder: FrameDecoder) -> tuple[str, Volume, list[PassportFinding]]:
    voxels, announced = decoder.arrays["voxels"], decoder.announced["voxels"]
    name = str(announced.get("title", "volume"))[:_LONGEST_NAME] or "volume"
    shape = single_volume(voxels.shape, name=name)
    affine = _affine_of(announced.get("affine"))
    content = content_id(voxels, affine)
    values = to_hounsfield(voxels.reshape(-1, order="F"), name=name)
    volume, passport = check(Volume(values.reshape(shape, order="F"), affine, name))
    return content, volume, passport


def _affine_of(rows: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        affine = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        affine = np.empty(0)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.array_equal(affine[3], [0, 0, 0, 1]):
        raise BadRequest(
            "The affine of the volume is not 4 × 4 numbers with 0 0 0 1 below.", hint="Send voxel → patient RAS in mm."
        )
    return affine
