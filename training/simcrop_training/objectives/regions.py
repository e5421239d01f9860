"""Where sentences peak on held-out samples, whatever a model learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_training.data.frames import intensities, patch_shares
from simcrop_training.data.sample import load_sample
from simcrop_training.objectives.grounding_metrics import Answer, summarise


@torch.no_grad()
def measured_regions(
    model: GroundingModel, frame: FrameConfig, held_out: Sequence[Path], embeddings: Mapping[str, NDArray[np.float32]]
) -> dict[str, float]:
    """Hits, sides and separation on stored samples with all patches visible; empty where there are none.

    Args:
        model: that is asked.
        frame: what a stored image is shown as.
        held_out: the samples.
        embeddings: of their sentences, (text width,).
    """
    if not held_out:
        return {}
    model = model.eval()
    vision = model.config.vision
    device = next(model.parameters()).device
    answers = []
    for path in held_out:
        sample = load_sample(path)
        image = intensities(sample.image, frame.hu_window, vision.image).to(device)
        features_NC = F.normalize(model.encode(image[None])[0].float(), dim=1)
        words = torch.from_numpy(np.stack([embeddings[t.text] for t in sample.truths])).to(device)
        words_SC = F.normalize(model.project(words).float(), dim=1)
        cosine_SN = (words_SC @ features_NC.T).float()
        answers += [
            Answer(truth, cosine_N, patch_shares(truth, vision.grid), vision.grid)
            for truth, cosine_N in zip(sample.truths, cosine_SN.cpu().numpy(), strict=True)
        ]
    return summarise(answers)
