"""What every DICOM object says of its maker and of itself."""

from __future__ import annotations

from typing import Any

from highdicom import UID, AlgorithmIdentificationSequence
from pydicom.sr.codedict import codes

from simcrop_core import __version__
from simcrop_core.results import WeightsInfo

MANUFACTURER = "The SimCroP for Slicer developers"
MODEL = "SimCroP"
NOT_A_DEVICE = "not a medical device"
# Series made from series 4 are 4001, 4002, …, so that archives list them beside it.
_BESIDE = 1000


def made_by(weights: WeightsInfo, *, source_number: int | None, kind: int) -> dict[str, Any]:
    """The arguments by which highdicom's image objects name themselves and their maker: a new series each.

    Args:
        weights: that the object comes from; the start of their hash stands for a serial number.
        source_number: of the series that the object is about.
        kind: of the object, from 1, for its series number.
    """
    return {
        "series_instance_uid": UID(),
        "series_number": (source_number or 0) * _BESIDE + kind,
        "sop_instance_uid": UID(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL,
        "software_versions": __version__,
        "device_serial_number": weights.sha256[:16],
        "content_description": f"{MODEL} ({weights.name}), research, {NOT_A_DEVICE}"[:64],
    }


def algorithm(weights: WeightsInfo) -> AlgorithmIdentificationSequence:
    """The network and its weights, as the objects name what drew a segment."""
    return AlgorithmIdentificationSequence(
        name=MODEL,
        family=codes.cid7162.ArtificialIntelligence,
        version=__version__,
        source=MANUFACTURER,
        parameters={"weights": weights.name, "sha256": weights.sha256},
    )
