"""One scan, read and encoded once, that answers sentence after sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from simcrop_core.errors import NothingToGround, TaskNotSupported
from simcrop_core.imaging.frame import FrameVolume, frame_volume
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.device import DeviceName, compute_dtype, is_out_of_memory, resolve_device
from simcrop_core.inference.features import PatchFeatures, encode_frame
from simcrop_core.inference.grounding import Similarity, ground, ranks
from simcrop_core.inference.segmentation import Labelmap, segment_volume
from simcrop_core.inference.sentences import sentence_results
from simcrop_core.models.registry import STARTER, WeightsFolder, resolve_weights
from simcrop_core.models.weights import GroundingWeights, load_grounding, load_segmentation
from simcrop_core.progress import Job
from simcrop_core.results import FrameInfo, GroundResult, PassportFinding, VolumeInfo, WeightsInfo
from simcrop_core.text.cache import CachedTextEncoder
from simcrop_core.text.reference import reference_sentences
from simcrop_core.text.report import Statement


@dataclass(frozen=True, slots=True, eq=False)
class Grounded:
    """The answer to some sentences: the result in the contract's form, and one heatmap a groundable sentence."""

    result: GroundResult
    heatmaps: list[Heatmap | None]
