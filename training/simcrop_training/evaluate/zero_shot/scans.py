"""What a trained method says of whole sets of scans, asked once and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from simcrop_core.errors import TaskNotSupported
from simcrop_core.imaging.frame import FrameVolume, frame_volume
from simcrop_core.inference.device import resolve_device
from simcrop_core.models.registry import resolve_weights
from simcrop_core.results import DeviceName
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_training.data.anatomies import label_classes
from simcrop_training.data.organs import Organs
from simcrop_training.datasets.labelled import LabelledScan, require_files
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.feature_store import FeatureStore
from simcrop_training.evaluate.manifest import weights_sha256
from simcrop_training.evaluate.read_ahead import noted, read_ahead
from simcrop_training.evaluate.scan_volumes import volume_of
from simcrop_training.evaluate.trained import load_trained
from simcrop_training.evaluate.zero_shot.ask import Asker
from simcrop_training.evaluate.zero_shot.prompts import PromptSetName, prompts_of
from simcrop_training.objectives.fvlm import Fvlm
from simcrop_training.objectives.fvlm_zero_shot import OrganZeroShot
from simcrop_training.prepare.organs import label_map

_log = logging.getLogger("simcrop_training")
Seen = FrameVolume | tuple[NDArray[np.int16], Organs]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Probabilities of CT-RATE's labels.

    Attributes:
        scans: that could be asked, in the order they were given.
        probabilities_BL: (B, 18); NaN where the method cannot say.
        skipped: scans that could not, and why.
    """

    scans: tuple[LabelledScan, ...]
    probabilities_BL: NDArray[np.float64]
    skipped: tuple[LeftOut, ...]


class ScanAsker:
    """Any trained method that knows words, with one prompt set.

    Args:
        weights: name, folder or file.
        prompts: which set; `fvlm` asks organs with its own, whatever is named.
        device: where it computes.

    Raises:
        UnknownWeights: there are none of that name.
        TaskNotSupported: the method learned no words.
        DeviceUnavailable: the machine has no such device.
    """

    def __init__(self, weights: Path | str, prompts: PromptSetName, device: DeviceName) -> None:
        folder = resolve_weights(weights)
        file = folder.encoder or folder.grounding
        if file is None:
            raise TaskNotSupported(f"The weights {folder.name} only segment.", hint="Give those of a pre-training run.")
        trained = load_trained(file.parent)
        if not trained.zero_shot:
            raise TaskNotSupported(
                f"{folder.name} learned no words, so it cannot be asked.", hint="Probe it: simcrop-eval probe."
            )
        self._trained = trained.to(resolve_device(device))
        self._organs = OrganZeroShot(trained.objective) if isinstance(trained.objective, Fvlm) else None
        asked = prompts_of("fvlm" if self._organs else prompts)
        self._asker = None if self._organs else Asker(trained, asked)
        texts = {label: (its.positive, its.negative) for label, its in asked.items()}
        words = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
        self.prompts: PromptSetName = "fvlm" if self._organs else prompts
        self.identity = f"{json.dumps(weights_sha256(weights), sort_keys=True)} zero-shot {words}"

    def look(self, scan: LabelledScan) -> Seen:
        """What is needed of a scan: its frame, and its organs where organs are asked.

        Raises:
            SimCroPError: it cannot be read, or has no label map that can be used.
        """
        volume = volume_of(scan)
        frame = frame_volume(volume, self._trained.frame)
        if self._organs is None:
            return frame
        source = scan.source
        if source is None or source.organs is None:
            raise TaskNotSupported(
                f"{scan.name} has no label map of organs.", hint="Put TotalSegmentator's beside the scans."
            )
        shape = self._trained.frame.shape
        labels, faults = label_map(source, volume, frame.lattice, frame.offsets[0], shape)
        if labels is None:
            raise TaskNotSupported(f"{scan.name}: {faults[0].message}", hint=faults[0].hint or "Write the map again.")
        low, high = self._trained.frame.hu_window
        voxels = np.rint(frame.images_THWD[0] * (high - low) / 2 + (high + low) / 2).astype(np.int16)
        return voxels, Organs.whole(labels, label_classes())

    @torch.inference_mode()
    def answer(self, seen: Seen) -> NDArray[np.float32]:
        """(18,) probabilities; the mean over tiles where one frame does not cover the lungs."""
        if isinstance(seen, FrameVolume):
            assert self._asker is not None, "whole scans were looked at"
            tiles_TL = self._asker.probabilities(torch.from_numpy(seen.images_THWD)[:, None])
            mean_L: NDArray[np.float32] = tiles_TL.mean(axis=0).astype(np.float32)
            return mean_L
        assert self._organs is not None, "organs were looked at"
        found = self._organs.scores(*seen)
        return np.array([found.get(label, np.nan) for label in CT_RATE_LABELS], np.float32)


def ask_scans(asker: ScanAsker, scans: Sequence[LabelledScan], cache: Path, *, readers: int = 1) -> Answers:
    """Ask every scan, or take what the cache has; stopped at any time, the same call goes on at the scan it was at.

    Args:
        asker: of one method and prompt set.
        scans: to ask.
        cache: folder; may be shared.
        readers: threads that read scans.

    Raises:
        UnreadableFile: files are missing; the first ten are named, and nothing was asked.
        CannotWrite: the cache is not writable.
    """
    require_files(scans)
    store = FeatureStore(cache, asker.identity)
    kept: list[LabelledScan] = []
    rows: list[NDArray[np.float32]] = []
    skipped: list[LeftOut] = []

    def look(scan: LabelledScan) -> tuple[str, NDArray[np.float32] | Seen]:
        key = store.key_of(scan)
        stored = store.load(key)
        return key, asker.look(scan) if stored is None else stored

    with contextlib.closing(read_ahead(noted(look), scans, readers)) as looks:
        for scan, found in looks:
            if isinstance(found, LeftOut):
                skipped.append(found)
                _log.warning("%s is skipped: %s (%s)", found.name, found.reason, found.code)
                continue
            key, seen = found
            row = seen if isinstance(seen, np.ndarray) else asker.answer(seen)
            if row is not seen:
                store.save(key, scan.name, row)
                _log.info("%d of %d: %s", len(kept) + len(skipped) + 1, len(scans), scan.name)
            kept.append(scan)
            rows.append(row)
    found_BL = np.array(rows, dtype=np.float64).reshape(len(rows), len(CT_RATE_LABELS))
    return Answers(tuple(kept), found_BL, tuple(skipped))
