"""From similarities to what is said of each sentence: evidence, peak, side, and the image it refers to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.frame import FrameVolume
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.coverage import covers, on_the_other_side
from simcrop_core.inference.features import PatchFeatures, patch_index
from simcrop_core.inference.grounding import Similarity, ranks
from simcrop_core.inference.peak import peak_between
from simcrop_core.models.weights_metadata import Thresholds
from simcrop_core.results import Evidence, ImageReference, SentenceResult
from simcrop_core.text.report import Statement


def evidence_of(excess: float, thresholds: Thresholds | None) -> Evidence | None:
    """What an excess over the usual measure means for the weights; None where they carry no thresholds."""
    if thresholds is None:
        return None
    if excess >= thresholds.located:
        return "located"
    return "weak" if excess >= thresholds.weak else "not located"


@dataclass(frozen=True, slots=True, eq=False)
class SentenceReader:
    """What is said of sentences about one encoded scan.

    Attributes:
        volume: the input volume.
        frame: what the model saw of it.
        features: its patches.
        thresholds: of the weights.
        organ_thresholds: of the score of sentences that name no finding; None where `thresholds` are theirs too.
        faintest: the cosine that a sentence's best patch must have to be anywhere.
    """

    volume: Volume
    frame: FrameVolume
    features: PatchFeatures
    thresholds: Thresholds | None
    organ_thresholds: Thresholds | None = None
    faintest: float = -1.0

    def results(
        self,
        statements: Sequence[Statement],
        similarity: Similarity,
        reference_excess_R: Tensor,
        organs: Sequence[int] = (),
    ) -> list[SentenceResult]:
        """One result a statement, in order; those of the rows `organs` name no finding."""
        places = ranks(similarity.excess_S, reference_excess_R)
        thresholds = [self.thresholds] * len(statements)
        if self.organ_thresholds is not None:
            for row in organs:
                thresholds[row] = self.organ_thresholds
        return [
            self._result(statement, similarity, row, places[row], thresholds[row])
            for row, statement in enumerate(statements)
        ]

    def _result(
        self,
        statement: Statement,
        similarity: Similarity,
        row: int,
        rank: tuple[int, int],
        thresholds: Thresholds | None,
    ) -> SentenceResult:
        nowhere = SentenceResult(
            text=statement.text,
            polarity=statement.polarity,
            kind=statement.kind,
            side=statement.side,
            lobe=statement.lobe,
            score=None,
            rank=None,
            evidence="not groundable",
            peak_ras_mm=None,
            peak_ijk=None,
            peak_patch_mm=None,
            side_conflict=False,
            reference=self._reference(statement.reference, None),
        )
        if statement.kind != "finding":
            return nowhere
        if not covers(self.frame, statement.region, statement.side):
            return replace(nowhere, evidence="outside field of view")
        patch_mm = self.features.patch_mm
        grid = self.features.grid
        best = patch_index(int(similarity.peaks_S[row]), grid)
        peak = peak_between(similarity.maps_SN[row].reshape(grid).numpy(), best)
        r, a, s = (float(mm) for mm in apply(self.features.affine, peak))
        return replace(
            nowhere,
            score=round(float(similarity.scores_S[row]), 4),
            excess=round(float(similarity.excess_S[row]), 4),
            rank=rank,
            evidence=self.evidence(similarity, row, float(similarity.excess_S[row]), thresholds),
            peak_ras_mm=(round(r, 2), round(a, 2), round(s, 2)),
            peak_ijk=self._nearest_voxel((r, a, s)),
            peak_patch_mm=patch_mm,
            side_conflict=on_the_other_side(self.frame, statement.side, r, max(patch_mm)),
            reference=self._reference(statement.reference, (r, a, s)),
        )

    def evidence(
        self, similarity: Similarity, row: int, excess: float, thresholds: Thresholds | None
    ) -> Evidence | None:
        """What an excess means for a sentence: it is nowhere where no patch would be drawn at all."""
        evidence = evidence_of(excess, thresholds)
        seen = float(similarity.maps_SN[row, similarity.peaks_S[row]]) >= self.faintest
        return evidence if seen or evidence is None else "not located"

    def _nearest_voxel(self, point_ras_mm: tuple[float, float, float]) -> tuple[int, int, int]:
        index = np.rint(index_in(self.volume.affine, point_ras_mm)).astype(int)
        x, y, z = (int(i) for i in np.clip(index, 0, np.asarray(self.volume.shape) - 1))
        return x, y, z

    def _reference(
        self, reference: ImageReference | None, peak_ras_mm: tuple[float, float, float] | None
    ) -> ImageReference | None:
        """The image a sentence refers to, looked up in the series and compared with the peak."""
        dicom = self.volume.dicom
        if reference is None or dicom is None:
            return reference
        other_series = reference.series is not None and reference.series != dicom.series_number
        if other_series or reference.image not in dicom.instance_numbers:
            return replace(reference, found=False)
        if peak_ras_mm is None:
            return replace(reference, found=True)
        k = dicom.instance_numbers.index(reference.image)
        in_plane = np.cross(self.volume.affine[:3, 0], self.volume.affine[:3, 1])
        normal = in_plane / np.linalg.norm(in_plane)
        distance = abs(float((np.asarray(peak_ras_mm) - apply(self.volume.affine, [0, 0, k])) @ normal))
        return replace(reference, found=True, distance_mm=round(distance, 1))
