"""Every method by name: what it is, its settings, and what it changes in the shared network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simcrop_training.objectives.biud import Biud, BiudSettings
from simcrop_training.objectives.ctclip import CtClip, CtClipSettings, M3dSharedSettings
from simcrop_training.objectives.fvlm import Fvlm, FvlmSettings
from simcrop_training.objectives.grounding import GroundingSettings
from simcrop_training.objectives.m3ae import M3ae, M3aeSettings
from simcrop_training.objectives.mae3d import Mae3d
from simcrop_training.objectives.mg3d import Mg3d, Mg3dSettings
from simcrop_training.objectives.mrm import Mrm
from simcrop_training.objectives.pairs import PairObjective, PairSettings
from simcrop_training.objectives.segmentation import SegmentationSettings
from simcrop_training.objectives.simcrop import SimCroPPretraining
from simcrop_training.objectives.simcrop_plus import SimCroPPlus, SimCroPPlusSettings
from simcrop_training.objectives.untrained import Random, RandomZeroPos


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    Attributes:
        summary: in a line.
        settings: what a recipe may say under `method`.
        objective: built from scans with reports; None for those that learn from stored samples with masks.
        model: fields of `PretrainingConfig` that differ from the preset's.
    """

    summary: str
    settings: type[Any]
    objective: type[PairObjective] | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reconstruction(self) -> bool:
        """Whether it is rebuilt from a text that leaves much open, which every table says."""
        return self.objective is not None and self.objective.reconstruction


METHODS: dict[str, Method] = {
    "random": Method("no training: random weights", PairSettings, Random),
    "random_zero_pos": Method("no training, no positions, as the released probe has it", PairSettings, RandomZeroPos),
    "mae3d": Method("masked image alone", PairSettings, Mae3d, {"norm_pix_floor": 0.01}),
    "m3ae": Method("masked words, masked patches, and whether image and report belong together", M3aeSettings, M3ae,
                   {"text_mask_ratio": 0.15, "norm_pix": True}),
    "mrm": Method("masked image and masked report, the image added to every word", PairSettings, Mrm,
                  {"text_mask_ratio": 0.5}),
    "ctclip": Method("whole scans against whole reports", CtClipSettings, CtClip),
    "m3d_shared": Method("the same with M3D-CLIP's choices", M3dSharedSettings, CtClip),
    "biud": Method("scans against reports, taught by an X-ray expert (reconstruction)", BiudSettings, Biud),
    "fvlm": Method("organs of a scan against what the report says of each", FvlmSettings, Fvlm),
    "mg3d": Method("masked image and report, contrasts of scans, reports and sentences (reconstruction)", Mg3dSettings,
                   Mg3d, {"mask_ratio": 0.5, "text_mask_ratio": 0.15}),
    "simcrop": Method("masked image, sentence-to-patch alignment, masked report", PairSettings, SimCroPPretraining),
    "simcrop_plus": Method("simcrop, and that a sentence's own scan shows it", SimCroPPlusSettings, SimCroPPlus),
    "grounding": Method("sentences to the masks of stored samples", GroundingSettings),
    "segmentation": Method("organs of stored samples", SegmentationSettings),
}  # fmt: skip
