"""One scan, read and encoded once, that answers sentence after sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from simcrop_core import __version__
from simcrop_core.errors import NothingToGround, OutOfMemory
from simcrop_core.imaging.chest_checks import check_chest
from simcrop_core.imaging.content import content_sha256
from simcrop_core.imaging.frame import FrameVolume, frame_volume
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.imaging.isolated import ScanReading
from simcrop_core.imaging.lungs import estimate_lungs
from simcrop_core.imaging.overview import volume_info
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.at_point import sentences_at
from simcrop_core.inference.device import compute_dtype, is_out_of_memory
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.features import PatchFeatures, encode_frame
from simcrop_core.inference.findings import Findings, score_findings
from simcrop_core.inference.grounding import Similarity, ground, heatmap_of
from simcrop_core.inference.segmentation import Labelmap, segment_volume
from simcrop_core.inference.sentences import SentenceReader
from simcrop_core.progress import Job
from simcrop_core.results import (
    AtResult,
    FindingsResult,
    FrameInfo,
    GroundResult,
    MadeBy,
    PassportFinding,
    SegmentResult,
    SentenceResult,
)
from simcrop_core.text.language import is_english
from simcrop_core.text.lexicon import finding_mentions
from simcrop_core.text.report import Statement


@dataclass(frozen=True, slots=True, eq=False)
class Grounded:
    """The answer to some sentences: the result in the contract's form, and a heatmap for each that has a place."""

    result: GroundResult
    heatmaps: list[Heatmap | None]


class Session:
    """A checked scan and the engine that answers for it. Nothing is computed before it is asked for.

    Args:
        volume: the CT, HU, as the passport left it.
        passport: what the checks of header and values found; results add those of the chest (`chest_findings`).
        engine: the weights and device.
        force: go on where no lungs are found.
    """

    def __init__(self, volume: Volume, passport: list[PassportFinding], engine: Engine, *, force: bool = False) -> None:
        self.volume = volume
        self.passport = passport
        self.engine = engine
        self.warnings: list[str] = []
        self._force = force
        self._features: PatchFeatures | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        engine: Engine,
        *,
        series: str | None = None,
        frame: int | None = None,
        force: bool = False,
        job: Job | None = None,
    ) -> Session:
        """Read a scan, in a process of its own, and check it; `frame` names a volume of a 4D file, from 1.

        Raises:
            SimCroPError: the file cannot be read, or the passport refused it (docs/passport.md).
        """
        with ScanReading(path, series=series, frame=frame) as reading:
            return cls.from_reading(reading, engine, force=force, job=job)

    @classmethod
    def from_reading(
        cls, reading: ScanReading, engine: Engine, *, force: bool = False, job: Job | None = None
    ) -> Session:
        """The same of a scan whose reading has begun: beside the loading of the engine, say.

        Raises:
            SimCroPError: as `open`.
        """
        volume, passport = check(reading.result(job).volume)
        return cls(volume, passport, engine, force=force)

    @cached_property
    def frame(self) -> FrameVolume:
        """What the model sees of the scan.

        Raises:
            NotAChest: no lungs were found, and the session was not forced.
        """
        frame = frame_volume(self.volume, self.engine.config.frame, force=self._force)
        if self._force and frame.lungs is None and frame.config.placement == "lungs":
            self.warnings.append("No lungs were found: the model looked at the middle of the scan.")
        return frame

    @cached_property
    def chest_findings(self) -> list[PassportFinding]:
        """Whether the lungs are whole and on which side the liver is; nothing where no lungs are found."""
        lungs = self.frame.lungs if "frame" in self.__dict__ else estimate_lungs(self.volume)
        return [] if lungs is None else check_chest(self.volume, lungs)

    def encode(self, job: Job | None = None) -> PatchFeatures:
        """The features of the scan, computed once; on the CPU where the device's memory does not suffice.

        Raises:
            Cancelled: through `job`; asking again starts over.
            OutOfMemory: it does not fit even in the CPU's memory.
        """
        if self._features is None:
            self._features = self._encoded(job or Job())
            # Here, where somebody waits anyway, rather than between a sentence and its heatmap.
            _ = self._scan_sha256, self.chest_findings
        return self._features

    def _encoded(self, job: Job) -> PatchFeatures:
        device = self.engine.device.type
        try:
            return encode_frame(self.engine.patch_encoder, self.frame, job)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if device == "cpu":
                raise OutOfMemory(
                    "Encoding the scan does not fit in memory.", hint="Close other programs, or use a larger machine."
                ) from error
        self.warnings.append(f"The {device} device ran out of memory: the CPU took over.")
        return encode_frame(self.engine.grounding_model_on_cpu(), self.frame, job)

    @property
    def encoded(self) -> bool:
        """Whether sentences can be answered at once."""
        return self._features is not None

    @property
    def memory_bytes(self) -> int:
        """What the session holds in memory: voxels, frame and features."""
        held = self.volume.voxels.nbytes
        if "frame" in self.__dict__:
            held += self.frame.images_THWD.nbytes
        return held + (0 if self._features is None else self._features.features_NC.nbytes)

    @cached_property
    def _scan_sha256(self) -> str:
        return content_sha256(self.volume)

    def _grounded_by(self) -> MadeBy:
        made_by = self._made_by(force=self._force, top_k=self.engine.config.top_k)
        return dataclasses.replace(made_by, versions=made_by.versions | self.engine.encoder_versions)

    def _made_by(self, **parameters: object) -> MadeBy:
        if self.volume.frame is not None:
            parameters["frame"] = self.volume.frame[0]
        return MadeBy(
            scan_sha256=self._scan_sha256,
            versions={"simcrop": __version__, "torch": torch.__version__},
            device=self.engine.device.type,
            precision=str(compute_dtype(self.engine.device)).removeprefix("torch."),
            parameters={name: str(value).lower() for name, value in parameters.items()},
        )

    @cached_property
    def _reference_measures_R(self) -> Tensor:
        return self._ground(self.engine.reference_embeddings, None).measures_S

    @cached_property
    def _reference_excess_R(self) -> Tensor:
        usual_S = self._usual(self.engine.reference_embeddings)
        return self._reference_measures_R if usual_S is None else self._reference_measures_R - usual_S

    def _asked(self, statements: Sequence[Statement], job: Job | None) -> tuple[Similarity, list[SentenceResult]]:
        """What the scan answers to statements, and what is said of each; encodes the scan if need be."""
        features = self.encode(job)
        organs = [row for row, s in enumerate(statements) if not finding_mentions(s.grounding_text)]
        similarity = self._similarity(self.engine.embed([s.grounding_text for s in statements]), organs)
        return similarity, self._reader(features).results(statements, similarity, self._reference_excess_R, organs)

    def _similarity(self, embeddings_SC: Tensor, organs: Sequence[int] = ()) -> Similarity:
        """What the encoded scan answers to sentences; those of the rows `organs` name no finding."""
        similarity = self._ground(embeddings_SC, self._usual(embeddings_SC, organs))
        if self.engine.organ_thresholds is None or not organs:
            return similarity
        # Organs are as large as they are: their evidence goes by the score itself, and stands out from nothing.
        measures_S = similarity.measures_S.clone()
        usual_S = torch.zeros_like(measures_S) if similarity.usual_S is None else similarity.usual_S.clone()
        measures_S[organs], usual_S[organs] = similarity.scores_S[organs], 0.0
        return dataclasses.replace(similarity, measures_S=measures_S, usual_S=usual_S)

    def _ground(self, embeddings_SC: Tensor, usual_S: Tensor | None) -> Similarity:
        engine = self.engine
        return ground(self.encode(), embeddings_SC, top_k=engine.config.top_k, measure=engine.measure, usual_S=usual_S)

    def _usual(self, embeddings_SC: Tensor, organs: Sequence[int] = ()) -> Tensor | None:
        """(S,) what the sentences usually score, moved to this scan; None where the weights do not say."""
        usual = self.engine.usual_scores
        if usual is None:
            return None
        usual_S = usual.of(embeddings_SC)
        # Nearly every chest has the organ, so what is usual for such a sentence is what it scores where it is true.
        usual_S[list(organs)] = usual.mean
        return usual_S + self._shift

    @cached_property
    def _shift(self) -> float:
        """By how much sentences in general score above their usual on this scan."""
        usual = self.engine.usual_scores
        return 0.0 if usual is None else usual.shift(self.engine.reference_embeddings, self._reference_measures_R)

    def ground(self, statements: Sequence[Statement], job: Job | None = None) -> Grounded:
        """Find sentences in the scan.

        Args:
            statements: parsed sentences (`simcrop_core.text.report`).
            job: told of the encoding, if this is the first question.

        Raises:
            NothingToGround: there is no sentence.
            NotAChest: no lungs were found, and the session was not forced.
            Cancelled: through `job`.
        """
        if not statements:
            raise NothingToGround("There is no sentence to look for.", hint="Give --sentence, or a report with text.")
        similarity, results = self._asked(statements, job)
        features = self.encode()
        heatmaps = [
            heatmap_of(map_N, features, statement.text) if result.peak_ras_mm is not None else None
            for statement, result, map_N in zip(statements, results, similarity.maps_SN, strict=True)
        ]
        return Grounded(
            GroundResult(
                volume=volume_info(self.volume),
                weights=self.engine.grounding_info(),
                frame=self._frame_info(),
                sentences=results,
                made_by=self._grounded_by(),
                passport=[*self.passport, *self.chest_findings],
                warnings=[*self.warnings, *_language_warning(statements)],
            ),
            heatmaps,
        )

    def findings(self, job: Job | None = None) -> Findings:
        """Score each of the 18 CT-RATE labels (docs/findings.md).

        Args:
            job: told of the encoding, if this is the first question, and of the scoring.

        Raises:
            NotAChest: no lungs were found, and the session was not forced.
            Cancelled: through `job`.
        """
        job = job or Job()
        features = self.encode(job)
        job.step("Scoring findings", 0, 1)
        similarity = self._similarity(self.engine.finding_embeddings)
        scored = score_findings(
            self._reader(features), similarity, self._reference_excess_R, self.engine.finding_thresholds
        )
        job.step("Scoring findings", 1, 1)
        return Findings(
            FindingsResult(
                volume=volume_info(self.volume),
                weights=self.engine.grounding_info(),
                frame=self._frame_info(),
                findings=[finding.score for finding in scored],
                scored_by="reference sentences",
                made_by=self._grounded_by(),
                passport=[*self.passport, *self.chest_findings],
                warnings=list(self.warnings),
            ),
            sentences=[finding.sentence for finding in scored],
            heatmaps=[finding.heatmap for finding in scored],
        )

    def at(
        self, point_ras_mm: tuple[float, float, float], statements: Sequence[Statement], job: Job | None = None
    ) -> AtResult:
        """Rank sentences by how well they fit the place at a point (docs/serve.md).

        Args:
            point_ras_mm: a point of the patient.
            statements: parsed sentences; those that are about no place are left out.
            job: told of the encoding, if this is the first question.

        Raises:
            NothingToGround: there is no sentence.
            NotAChest: no lungs were found, and the session was not forced.
            Cancelled: through `job`.
        """
        if not statements:
            raise NothingToGround("There is no sentence to rank.", hint="Give sentences, or a report with text.")
        similarity, results = self._asked(statements, job)
        return sentences_at(point_ras_mm, self.encode(), similarity, results)

    def _reader(self, features: PatchFeatures) -> SentenceReader:
        engine = self.engine
        return SentenceReader(
            self.volume, self.frame, features, engine.thresholds, engine.organ_thresholds, engine.faintest
        )

    def _frame_info(self) -> FrameInfo:
        return FrameInfo(self.frame.box_ras_mm, len(self.frame.offsets))

    def segment(self, task: str, job: Job | None = None) -> Labelmap:
        """Label the scan.

        Args:
            task: one the weights know, such as "lungs" or "chest".
            job: told after every window and slice.

        Raises:
            TaskNotSupported: the weights do not know the task.
            OutOfMemory: one window does not fit even in the CPU's memory.
            Cancelled: through `job`.
        """
        structures = self.engine.structures_of(task)
        labels = segment_volume(
            self.engine.segmentation_model, self.volume, structures, job=job or Job(), warn=self.warnings.append
        )
        return dataclasses.replace(labels, task=task)

    def segment_result(self, labels: Labelmap, output: Path) -> SegmentResult:
        """A label map of this scan in the contract's form.

        Args:
            labels: from `segment`.
            output: where it was written.
        """
        return SegmentResult(
            output=str(output),
            labels={str(value): name for value, name in labels.names.items()},
            volume_ml=labels.volume_ml(),
            volume=volume_info(self.volume),
            weights=self.engine.segmentation_info(),
            made_by=self._made_by(task=labels.task),
            passport=[*self.passport, *self.chest_findings],
            warnings=list(self.warnings),
        )


def _language_warning(statements: Sequence[Statement]) -> list[str]:
    if is_english(" ".join(statement.text for statement in statements)):
        return []
    return ["The text does not seem to be English; these weights know English sentences only."]
