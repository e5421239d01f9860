"""Scans on their way into an encoder as the released probe has them: read ahead, and encoded a few at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from simcrop_core.errors import OutOfMemory, SimCroPError, TaskNotSupported
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.device import is_out_of_memory
from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.registry import resolve_weights
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_metadata import read_metadata
from simcrop_core.results import DeviceName
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.feature_store import FeatureStore
from simcrop_training.evaluate.features import load_scan_encoder
from simcrop_training.evaluate.origin import origin_of
from simcrop_training.evaluate.probing.released import released_features
from simcrop_training.evaluate.probing.views import fixed_view
from simcrop_training.evaluate.read_ahead import read_ahead
from simcrop_training.evaluate.scan_volumes import volume_of

_log = logging.getLogger("simcrop_training")
_SAY_EVERY = 100
_WITHOUT_POSITIONS = "random_zero_pos"

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Eye:
    """An encoder, and how scans come before it.

    Attributes:
        encoder: frozen.
        frame: of its weights.
        store: of the fixed views' features.
        read: opens a scan.
        at_once: scans encoded together.
        readers: threads that read scans.
        skipped: scans that could not be read, by name.
    """

    encoder: VisionTransformer
    frame: FrameConfig
    store: FeatureStore
    read: Callable[[LabelledScan], Volume] = volume_of
    at_once: int = 4
    readers: int = 2
    skipped: dict[str, LeftOut] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Of the encoder."""
        return self.encoder.pos_embed.device

    def view(self, scan: LabelledScan, seen: Callable[[Volume], Image]) -> Image | None:
        """A view of a scan; None, and remembered, where the scan cannot be read."""
        if scan.name in self.skipped:
            return None
        try:
            return seen(self.read(scan))
        except SimCroPError as fault:
            self.skip(LeftOut(scan.name, fault.code, fault.message))
        except OSError as fault:
            self.skip(LeftOut(scan.name, "unreadable-file", f"{scan.path} cannot be read: {fault}."))
        return None

    def skip(self, note: LeftOut) -> None:
        """Remember, and say, that a scan cannot be read."""
        self.skipped[note.name] = note
        _log.warning("%s is skipped: %s (%s)", note.name, note.reason, note.code)

    def encode(self, images: Sequence[Image]) -> torch.Tensor:
        """(B, C) features of views, on the encoder's device, in its present mode.

        Raises:
            OutOfMemory: so many views do not fit the device.
        """
        features = []
        try:
            for first in range(0, len(images), self.at_once):
                batch_B1HWD = torch.from_numpy(np.stack(images[first : first + self.at_once]))[:, None]
                features.append(released_features(self.encoder, batch_B1HWD.to(self.device)))
        except (RuntimeError, MemoryError) as fault:
            if not is_out_of_memory(fault):
                raise
            raise OutOfMemory(
                f"Encoding {self.at_once} scans at once does not fit in memory.",
                hint="Close other programs, or take another device.",
            ) from fault
        return torch.cat(features)


def released_eye(weights: Path | str, cache: Path, device: DeviceName, readers: int) -> Eye:
    """Any weights' encoder, for the released probe.

    An untrained encoder loses its position table: the released script leaves the table of its random row at zero.

    Args:
        weights: name, folder or file.
        cache: folder of features; other weights may use it too.
        device: where the encoder computes.
        readers: threads that read scans.

    Raises:
        UnknownWeights: there are none of that name.
        TaskNotSupported: they hold no encoder that the released probe is for.
    """
    loaded = load_scan_encoder(weights, device)
    if not isinstance(loaded.vision, VisionTransformer) or loaded.frame is None:
        raise TaskNotSupported(
            f"The released probe is for the encoder that all methods share; {weights} has another one.",
            hint="Probe it with --preset clean.",
        )
    name = model_name(weights, released=True)
    if name == _WITHOUT_POSITIONS:
        loaded.vision.pos_embed.zero_()
    return Eye(loaded.vision, loaded.frame, FeatureStore(cache, f"{loaded.identity} released {name}"), readers=readers)


def suits_released(weights: Path | str) -> bool:
    """Whether the released probe is for these weights' encoder; no tensor is read.

    Raises:
        UnknownWeights: there are none of that name.
    """
    file = resolve_weights(weights).encoder
    return file is None or isinstance(read_metadata(file).config, EncoderConfig)


def model_name(weights: Path | str, *, released: bool) -> str:
    """What weights are called in tables: the method that trained them, or their own name.

    Args:
        weights: name, folder or file.
        released: whether it is for the released probe, to which `random` is `random_zero_pos`.

    Raises:
        UnknownWeights: there are none of that name.
    """
    return origin_of(weights, released=released).model


def fixed_features(eye: Eye, scans: Sequence[LabelledScan]) -> dict[str, Image]:
    """Features of the fixed view of every scan that can be read, by name, encoded once for all.

    The released code encodes validation scans anew each time. Its encoder is frozen and in evaluation mode then, so
    the features are the same.

    Args:
        eye: its encoder is put into evaluation mode.
        scans: of any split.

    Raises:
        OutOfMemory: they do not fit the device.
        CannotWrite: the cache is not writable.
    """
    eye.encoder.eval()
    keys: dict[str, str] = {}
    for scan in scans:
        try:
            keys[scan.name] = eye.store.key_of(scan)
        except OSError as fault:
            eye.skip(LeftOut(scan.name, "unreadable-file", f"{scan.path} cannot be read: {fault}."))
    found = {name: kept for name, key in keys.items() if (kept := eye.store.load(key)) is not None}
    missing = [scan for scan in scans if scan.name in keys and scan.name not in found]
    views = read_ahead(lambda scan: eye.view(scan, lambda v: fixed_view(v, eye.frame)), missing, eye.readers)
    with closing(views):
        for done, (scan, image) in enumerate(views, 1):
            if image is not None:
                found[scan.name] = eye.encode([image])[0].cpu().numpy()
                eye.store.save(keys[scan.name], scan.name, found[scan.name])
            if done % _SAY_EVERY == 0 or done == len(missing):
                _log.info("%d of %d scans encoded for validation and testing", done, len(missing))
    return {scan.name: found[scan.name] for scan in scans if scan.name in found}
