"""What a model makes of one scan and its sentences, kept on disk: everything that is measured later, but no voxel."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from simcrop_core.export.atomic import replacing
from simcrop_core.export.wording import why_not_drawn
from simcrop_core.imaging.affine import Affine, apply
from simcrop_core.imaging.frame import FrameVolume
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.lungs import GRID_MM, LungEstimate, estimate_lungs
from simcrop_core.inference.session import Session
from simcrop_core.text.report import parse_sentence

# A patch is lung from this share on.
LUNG_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine says of one sentence.

    Attributes:
        text: the sentence.
        side: of the body, where it names one.
        evidence: as in the contract.
        answered: whether it gives a map.
        drawn: whether it draws the map where it exceeds the weights' threshold.
        score: as in the contract, NaN where there is none; `excess` over the usual score likewise.
        place: among the reference sentences, 1 is best; NaN where there is none.
    """

    text: str
    side: str | None
    evidence: str | None
    answered: bool
    drawn: bool
    score: float
    excess: float
    place: float


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Where the patches of a scan are.

    Attributes:
        grid: along each axis, z fastest.
        affine: patch index → centre in patient RAS, mm.
        within_N: patches that hold scan rather than padding only.
        lung_N: patches that are half lung or more; none where no lungs were found.
        midline_r_mm: the patient's middle: the spine's, else the lungs', else the frame's.
    """

    grid: tuple[int, int, int]
    affine: Affine
    within_N: NDArray[np.bool_]
    lung_N: NDArray[np.bool_]
    midline_r_mm: float

    @property
    def centres_N3(self) -> NDArray[np.float64]:
        """(N, 3) RAS mm."""
        return apply(self.affine, np.stack(np.unravel_index(np.arange(math.prod(self.grid)), self.grid), axis=-1))

    @property
    def left_N(self) -> NDArray[np.bool_]:
        """Patches whose centre is in the patient's left half."""
        return self.centres_N3[:, 0] < self.midline_r_mm


@dataclass(frozen=True, slots=True, eq=False)
class EncodedScan:
    """One scan as a model sees it.

    Attributes:
        patches: where they are.
        features_NC: float32, of length 1.
        maps_SN: cosine of each sentence with each patch, −1 in padding; of sentences without an answer too.
        embeddings_SC: of the sentences, of length 1.
        answers: to the sentences.
    """

    patches: Patches
    features_NC: NDArray[np.float32]
    maps_SN: NDArray[np.float32]
    embeddings_SC: NDArray[np.float32]
    answers: tuple[Answer, ...]


def encoded(session: Session, texts: list[str]) -> EncodedScan:
    """Ask a scan everything.

    Raises:
        NotAChest: no lungs were found.
        NothingToGround: a sentence is empty.
    """
    features, engine = session.encode(), session.engine
    statements = [parse_sentence(text) for text in texts]
    grounded = session.ground(statements)
    embeddings_SC = F.normalize(engine.embed([s.grounding_text for s in statements]).float(), dim=1)
    features_NC = F.normalize(features.features_NC.float(), dim=1)
    maps_SN = (embeddings_SC @ features_NC.T).masked_fill(~features.within_scan_N, -1.0).numpy()
    answers = []
    for row, (result, heatmap) in enumerate(zip(grounded.result.sentences, grounded.heatmaps, strict=True)):
        if heatmap is not None:
            maps_SN[row] = heatmap.scores.ravel()
        drawn = why_not_drawn(result, heatmap, engine.colour_scale, draw_absent=True) is None
        score = math.nan if result.score is None else result.score
        excess = math.nan if result.excess is None else result.excess
        place = math.nan if result.rank is None else float(result.rank[0])
        answers.append(
            Answer(texts[row], result.side, result.evidence, heatmap is not None, drawn, score, excess, place)
        )
    return EncodedScan(patches_of(session), features_NC.numpy(), maps_SN, embeddings_SC.numpy(), tuple(answers))


def patches_of(session: Session) -> Patches:
    """Where an encoded scan's patches are, and which are lung."""
    features, lungs = session.encode(), _lungs(session)
    patches = math.prod(features.grid)
    lung_N = np.zeros(patches, dtype=bool)
    if lungs is not None:
        index = np.rint(index_in(features.affine, apply(lungs.affine, np.argwhere(lungs.mask)))).astype(int)
        index = index[((index >= 0) & (index < features.grid)).all(axis=1)]
        counts = np.bincount(np.ravel_multi_index(tuple(index.T), features.grid), minlength=patches)
        lung_N = counts * GRID_MM**3 / math.prod(features.patch_mm) >= LUNG_SHARE
    within_N = features.within_scan_N.numpy()
    midline = _midline_r_mm(session.frame, lungs)
    return Patches(features.grid, features.affine, within_N, lung_N & within_N, midline)


def _lungs(session: Session) -> LungEstimate | None:
    """Those that the frame was placed by, or found now where it was placed otherwise."""
    if session.frame.lungs is not None or session.frame.config.placement == "lungs":
        return session.frame.lungs
    return estimate_lungs(session.volume)


def _midline_r_mm(frame: FrameVolume, lungs: LungEstimate | None) -> float:
    if lungs is None:
        low, high = frame.box_ras_mm
        return (low[0] + high[0]) / 2
    if lungs.midline_r_mm is not None:
        return lungs.midline_r_mm
    return float(apply(lungs.affine, np.argwhere(lungs.mask))[:, 0].mean())


def save_encoded(path: Path, scan: EncodedScan, fingerprint: str) -> None:
    """Write it whole or not at all; features in half precision.

    Raises:
        CannotWrite: the file cannot be written.
    """
    told = json.dumps({"fingerprint": fingerprint, "answers": [asdict(answer) for answer in scan.answers]})
    patches = scan.patches
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            told=np.array(told),
            grid=np.array(patches.grid),
            affine=patches.affine,
            within_N=patches.within_N,
            lung_N=patches.lung_N,
            midline_r_mm=np.array(patches.midline_r_mm),
            features_NC=scan.features_NC.astype(np.float16),
            maps_SN=scan.maps_SN,
            embeddings_SC=scan.embeddings_SC,
        )


def load_encoded(path: Path) -> EncodedScan:
    """What `save_encoded` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        told = json.loads(str(stored["told"]))
        x, y, z = (int(n) for n in stored["grid"])
        patches = Patches(
            (x, y, z), stored["affine"], stored["within_N"], stored["lung_N"], float(stored["midline_r_mm"])
        )
        features_NC = stored["features_NC"].astype(np.float32)
        answers = tuple(Answer(**answer) for answer in told["answers"])
        return EncodedScan(patches, features_NC, stored["maps_SN"], stored["embeddings_SC"], answers)


def is_encoded(path: Path, fingerprint: str) -> bool:
    """Whether a file holds that scan, whole."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return bool(json.loads(str(stored["told"]))["fingerprint"] == fingerprint)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False
