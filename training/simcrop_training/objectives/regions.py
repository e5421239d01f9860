"""Where sentences peak on held-out samples, whatever a model learned from."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from simcrop_core.models.grounding import GroundingModel
from simcrop_training.data.frames import intensities, patch_shares
from simcrop_training.data.sample import load_sample
from simcrop_training.objectives.grounding_metrics import Answer, summarise
from simcrop_training.objectives.pairs import PairData


@torch.no_grad()
def measured_regions(model: GroundingModel, data: PairData) -> dict[str, float]:
    """Hits, sides and separation on the held-out samples with all patches visible; empty where there are none."""
    if not data.held_out:
        return {}
    model = model.eval()
    vision = model.config.vision
    device = next(model.parameters()).device
    answers = []
    for path in data.held_out:
        sample = load_sample(path)
        image = intensities(sample.image, data.frame.hu_window, vision.image).to(device)
        features_NC = F.normalize(model.encode(image[None])[0].float(), dim=1)
        words = torch.from_numpy(np.stack([data.embeddings[t.text] for t in sample.truths])).to(device)
        words_SC = F.normalize(model.project(words).float(), dim=1)
        cosine_SN = (words_SC @ features_NC.T).float()
        answers += [
            Answer(truth, cosine_N, patch_shares(truth, vision.grid), vision.grid)
            for truth, cosine_N in zip(sample.truths, cosine_SN.cpu().numpy(), strict=True)
        ]
    return summarise(answers)
