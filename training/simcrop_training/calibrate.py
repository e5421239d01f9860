"""What turns trained grounding weights into ones to ship: usual scores, thresholds, colours, reference sentences."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.imaging.heatmap import ColourScale
from simcrop_core.inference.embed import embed
from simcrop_core.inference.features import PatchFeatures
from simcrop_core.inference.findings import label_scores
from simcrop_core.inference.grounding import ground
from simcrop_core.inference.usual import UsualScores
from simcrop_core.models.checksum import sentences_sha256
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.registry import resolve_weights
from simcrop_core.models.weights import (
    REFERENCE_KEY,
    USUAL_KEYS,
    Thresholds,
    load_grounding_model,
    load_weights,
    save_weights,
)
from simcrop_core.models.weights_metadata import Measure
from simcrop_core.phantom.truth import KIND_LABELS
from simcrop_core.text.encoder import TextEncoder, load_text_encoder
from simcrop_core.text.findings import finding_sentences
from simcrop_core.text.reference import reference_sentences
from simcrop_training.data.sample import Sample, Truth, load_sample
from simcrop_training.objectives.grounding import POINTING, REGIONS

# Of findings said to be there that are not, two in a hundred may be called located, and five at least weak: on
# phantoms that set no threshold it is more, and should stay below ten.
_LOCATED, _WEAK = 0.98, 0.95
# An organ is located where it scores as nineteen of twenty do.
_USUAL_ORGANS = 0.05
_MEASURE: Measure = "prominence"
# Colours begin where nineteen in twenty peaks of located sentences lie above, and end where one in four does.
_FAINTEST, _STRONGEST = 0.05, 0.75
_FEWEST_LOCATED = 4
# Of a label that fewer samples lack, no quantile can be told.
_FEWEST_WITHOUT = 20


def calibrate(weights: Path, held_out: Sequence[Path], output: Path) -> dict[str, float]:
    """Measure scores on held-out samples and write the weights again with what they say.

    Args:
        weights: a grounding file that `simcrop-train run` exported.
        held_out: stored samples that the training never saw.
        output: the file to write.

    Returns:
        Rates on the same samples, which the metadata keeps among its metrics.

    Raises:
        TaskNotSupported: no grounding weights.
        IncompatibleWeights: they tell nothing apart, or the samples hold too little to set a threshold.
        CannotWrite: the output folder is not writable or the disk is full.
    """
    model, metadata, _ = load_grounding_model(resolve_weights(weights))
    encoder = load_text_encoder(model.config.text)
    samples = [(sample.truths, _features(model, sample)) for sample in map(load_sample, held_out)]
    asked = {truth.text for truths, _ in samples for truth in truths}
    with torch.inference_mode():
        reference_RC = embed(model, encoder, reference_sentences())
        known_MC = torch.cat([reference_RC, embed(model, encoder, sorted(asked))]).half()
    usual_M = _usual([features for _, features in samples], known_MC.float(), model.config.top_k)
    scores = _scores(model, samples, encoder, UsualScores(known_MC, usual_M), reference_RC)
    present, absent, peaks = scores.present, scores.absent, scores.peaks
    if len(absent) == 0 or (present >= np.quantile(absent, _LOCATED)).sum() < _FEWEST_LOCATED:
        raise IncompatibleWeights(
            "On these samples the weights do not tell what is there from what is not: no threshold can be set.",
            hint="Train longer, or give more held-out samples.",
        )
    thresholds = _thresholds(absent)
    drawn = peaks[present >= thresholds.located]
    scale = ColourScale(*(round(float(np.quantile(drawn, q)), 4) for q in (_FAINTEST, _STRONGEST)))
    # What is too faint to be drawn anywhere is not located (`inference.sentences`).
    there, not_there = peaks >= scale.low, scores.absent_peaks < scale.low
    rates = {
        "present_located": float((there & (present >= thresholds.located)).mean()),
        "present_weak_or_located": float((there & (present >= thresholds.weak)).mean()),
        "absent_not_located": float((not_there | (absent < thresholds.weak)).mean()),
    }
    tensors, _ = load_weights(weights)
    provenance = dataclasses.replace(
        metadata.provenance, metrics={**metadata.provenance.metrics, **{k: round(v, 4) for k, v in rates.items()}}
    )
    save_weights(
        output,
        {**tensors, REFERENCE_KEY: reference_RC, **dict(zip(USUAL_KEYS, (known_MC, usual_M), strict=True))},
        dataclasses.replace(
            metadata,
            measure=_MEASURE,
            thresholds=thresholds,
            organ_thresholds=Thresholds(round(float(np.quantile(scores.organs, _USUAL_ORGANS)), 4), scale.low)
            if scores.organs.size
            else None,
            finding_thresholds={
                label: _thresholds(np.array(without))
                for label, without in scores.without.items()
                if len(without) >= _FEWEST_WITHOUT
            },
            colour_scale=scale,
            provenance=provenance,
            reference_sha256=sentences_sha256(reference_sentences()),
        ),
        half_precision=True,
    )
    return rates


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """What held-out samples say.

    Attributes:
        present: of sentences about findings that are there, the excess over the usual score.
        absent: the same of sentences about findings that are not.
        peaks: highest cosines of findings that are there.
        absent_peaks: the same of findings that are not.
        organs: scores of organs and regions that are there.
        without: each CT-RATE label's scores on the samples without it.
    """

    present: NDArray[np.float64]
    absent: NDArray[np.float64]
    peaks: NDArray[np.float64]
    absent_peaks: NDArray[np.float64]
    organs: NDArray[np.float64]
    without: dict[str, list[float]]


def _thresholds(absent: NDArray[np.float64]) -> Thresholds:
    return Thresholds(*(round(float(np.quantile(absent, q)), 4) for q in (_LOCATED, _WEAK)))


@torch.inference_mode()
def _usual(scans: Sequence[PatchFeatures], known_MC: Tensor, top_k: int) -> Tensor:
    """(M,) float16 mean measure of each sentence over scans."""
    measures = [ground(scan, known_MC, top_k=top_k, measure=_MEASURE).measures_S for scan in scans]
    return torch.stack(measures).mean(dim=0).half()


@torch.inference_mode()
def _scores(
    model: GroundingModel,
    samples: Sequence[tuple[tuple[Truth, ...], PatchFeatures]],
    encoder: TextEncoder,
    usual: UsualScores,
    reference_RC: Tensor,
) -> _Scores:
    statements = [s for finding in finding_sentences() for s in (*finding.positive, *finding.negated)]
    findings_SC = embed(model, encoder, [s.grounding_text for s in statements])
    present: list[float] = []
    absent: list[float] = []
    peaks: list[float] = []
    absent_peaks: list[float] = []
    organs: list[float] = []
    without: dict[str, list[float]] = defaultdict(list)
    measured = functools.partial(ground, top_k=model.config.top_k, measure=_MEASURE)
    for truths, features in samples:
        shift = usual.shift(reference_RC, measured(features, reference_RC).measures_S)
        sentences_SC = embed(model, encoder, [truth.text for truth in truths])
        answer = measured(features, sentences_SC, usual_S=usual.of(sentences_SC) + shift)
        highest_S = answer.maps_SN.amax(dim=1)
        organs += [
            float(s) for t, s in zip(truths, answer.scores_S, strict=True) if t.polarity in REGIONS and len(t.cells)
        ]
        for truth, score, highest in zip(truths, answer.excess_S, highest_S, strict=True):
            if truth.polarity == "absent":
                absent.append(float(score))
                absent_peaks.append(float(highest))
            elif truth.polarity in POINTING and len(truth.cells):
                present.append(float(score))
                peaks.append(float(highest))
        there = {label for t in truths if t.polarity in POINTING for label in KIND_LABELS.get(t.topic, ())}
        usual_S = usual.of(findings_SC) + shift
        excess_S = measured(features, findings_SC, usual_S=usual_S).excess_S
        for label, score in label_scores(excess_S).items():
            if label not in there:
                without[label].append(score)
    return _Scores(
        np.array(present), np.array(absent), np.array(peaks), np.array(absent_peaks), np.array(organs), without
    )


@torch.inference_mode()
def _features(model: GroundingModel, sample: Sample) -> PatchFeatures:
    """The features of one stored frame; where it is in the patient does not matter here."""
    low, high = model.config.frame.hu_window
    image = torch.from_numpy(sample.image).float().sub((low + high) / 2).div((high - low) / 2).clamp(-1, 1)
    features_NC = model.encode(image[None, None])[0]
    return PatchFeatures(
        features_NC, model.config.vision.grid, np.eye(4), torch.ones(len(features_NC), dtype=torch.bool), (24.0,) * 3
    )
