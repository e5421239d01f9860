"""Sentences, scores and places as a structured report (TID 1500), never verified by anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from highdicom import UID
from highdicom.pm import ParametricMap
from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForMeasurementGroup,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from simcrop_core import __version__
from simcrop_core.export.atomic import replacing
from simcrop_core.export.dicom.codes import ATTENTION_REGION, EVIDENCE, POLARITY, SIMILARITY, own, side_code
from simcrop_core.export.dicom.maker import MANUFACTURER, MODEL, NOT_A_DEVICE, made_by
from simcrop_core.export.dicom.settled import settle
from simcrop_core.export.provenance import facts_of
from simcrop_core.imaging.dicom.source import SourceSeries
from simcrop_core.results import GroundResult, SentenceResult

_KIND = 4
_Group = VolumetricROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations
_NAMED = ("series_instance_uid", "series_number", "sop_instance_uid", "instance_number", "manufacturer")


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The objects that show sentences.

    Attributes:
        maps: parametric map, by the sentence's number, from 1.
        regions: the attention regions, or None where no sentence is drawn.
        segments: number of the segment, by the sentence's.
    """

    maps: Mapping[int, ParametricMap]
    regions: Segmentation | None
    segments: Mapping[int, int]


def write_structured_report(path: Path, result: GroundResult, shown: Shown, source: SourceSeries) -> None:
    """Write one measurement group a sentence, tied to its attention region, or else to its map.

    Args:
        path: of the file.
        result: the sentences.
        shown: what they are tied to.
        source: the series.

    Raises:
        CannotWrite: the file cannot be written, or SOURCE_DATE_EPOCH is no time.
    """
    facts = [f"{name}: {value}" for name, value in facts_of(result).items()]
    groups = [_group(number, said, facts, shown, source) for number, said in enumerate(result.sentences, 1)]
    context = ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=UID(),
                name=f"{MODEL}, {NOT_A_DEVICE}",
                manufacturer_name=MANUFACTURER,
                model_name=MODEL,
                serial_number=result.weights.sha256[:16],
            ),
        )
    )
    content = MeasurementReport(
        observation_context=context,
        procedure_reported=codes.cid100.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    evidence: list[Dataset] = [*source.images, *shown.maps.values()]
    if shown.regions is not None:
        evidence.append(shown.regions)
    named = made_by(result.weights, source_number=source.number, kind=_KIND)
    made = Comprehensive3DSR(
        evidence=evidence,
        content=content[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        **{key: named[key] for key in _NAMED},
    )
    settle(made, refers_to=evidence)
    with replacing(path) as temporary:
        made.save_as(temporary)


def _group(number: int, said: SentenceResult, facts: list[str], shown: Shown, source: SourceSeries) -> _Group:
    about: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(uid=UID(), identifier=said.text),
        "finding_type": ATTENTION_REGION,
        "algorithm_id": AlgorithmIdentification(name=MODEL, version=__version__, parameters=facts),
        "measurements": _measurements(said),
        "qualitative_evaluations": _evaluations(said),
    }
    if shown.regions is not None and number in shown.segments:
        segment = ReferencedSegment(
            sop_class_uid=shown.regions.SOPClassUID,
            sop_instance_uid=shown.regions.SOPInstanceUID,
            segment_number=shown.segments[number],
            source_series=SourceSeriesForSegmentation(source.images[0].SeriesInstanceUID),
        )
        group: _Group = VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **about)
    else:
        group = MeasurementsAndQualitativeEvaluations(**about)
    if number in shown.maps:
        drawn = shown.maps[number]
        group[0].ContentSequence.append(SourceImageForMeasurementGroup(drawn.SOPClassUID, drawn.SOPInstanceUID))
    return group


def _measurements(said: SentenceResult) -> list[Measurement]:
    if said.score is None:
        return []
    return [Measurement(name=SIMILARITY, value=round(said.score, 4), unit=codes.UCUM.NoUnits)]


def _evaluations(said: SentenceResult) -> list[QualitativeEvaluation]:
    found = [QualitativeEvaluation(name=POLARITY, value=own(said.polarity))]
    if said.evidence is not None:
        found.append(QualitativeEvaluation(name=EVIDENCE, value=own(said.evidence)))
    if said.side is not None:
        found.append(QualitativeEvaluation(name=codes.SCT.Laterality, value=side_code(said.side)))
    return found
