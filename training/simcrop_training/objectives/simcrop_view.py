"""A look at pre-training on held-out scans: what is filled in, where a sentence looks, how alike regions are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcrop_core.models.losses import distinct
from simcrop_core.models.masking import masked_patches
from simcrop_core.models.patches import patch_vectors, unpatchify
from simcrop_core.models.regions import similarity, top_patches
from simcrop_core.models.simcrop import PretrainingBatch, SimCroP
from simcrop_training.engine.objective import View

_HIDDEN = -0.6  # A dark grey that is not air.
_WARM = (1.0, 0.55, 0.1)


def view_of(network: SimCroP, batch: PretrainingBatch) -> View:
    """Figures and a picture of one micro-batch.

    Figures: `overlap`, the mean Jaccard index of the regions of two sentences of a report (1: all sentences look at the
    same patches); `never_chosen`, the share of visible patches that no sentence of their report looks at.

    The picture: a coronal slice of the first frame with its hidden patches blank, filled in, and as it is with the
    patches that its first sentence resembles.
    """
    tokens = network.vision(batch.images_B1HWD, batch.keep_BK)
    visible_BKC = tokens[:, int(network.config.vision.cls_token) :]
    sentences_BSC = batch.sentences_BSC
    if network.config.centre_text:
        sentences_BSC = sentences_BSC - network.text_mean
    similarity_BSK = similarity(
        network.text_projection(sentences_BSC).float(),
        network.image_projection(visible_BKC).float(),
        normalise=network.config.normalise,
    ).float()
    chosen_BSK = top_patches(similarity_BSK, network.config.top_k)
    figures = region_figures(chosen_BSK, distinct(batch.identities_BS), similarity_BSK.shape[-1])
    predicted_NP = network.image_decoder(tokens[:1], batch.keep_BK[:1])[0].float()
    return View(figures, _picture(network, batch, predicted_NP, similarity_BSK[0, 0]))


def region_figures(chosen_BSK: Tensor, counts_BS: Tensor, patches: int) -> dict[str, float]:
    """How alike the regions of a report's sentences are, and how many patches none of them takes.

    Args:
        chosen_BSK: indices of each sentence's patches.
        counts_BS: true for sentences that take part.
        patches: to choose from.
    """
    overlaps, unchosen = [], []
    for chosen_SK, counts_S in zip(chosen_BSK, counts_BS, strict=True):
        taken_SN = torch.zeros(int(counts_S.sum()), patches, device=chosen_SK.device)
        taken_SN.scatter_(1, chosen_SK[counts_S], 1.0)
        if len(taken_SN) < 2:
            continue
        both_SS = taken_SN @ taken_SN.T
        either_SS = 2 * chosen_SK.shape[1] - both_SS
        pairs = torch.ones_like(both_SS).triu(1).bool()
        overlaps.append((both_SS / either_SS)[pairs].mean())
        unchosen.append((taken_SN.sum(0) == 0).float().mean())
    if not overlaps:
        return {}
    return {"overlap": float(torch.stack(overlaps).mean()), "never_chosen": float(torch.stack(unchosen).mean())}


def _picture(
    network: SimCroP, batch: PretrainingBatch, predicted_NP: Tensor, similarity_K: Tensor
) -> NDArray[np.uint8]:
    """Three panels side by side, (rows, columns, 3)."""
    vision = network.config.vision
    image = batch.images_B1HWD[:1].float()
    hidden_N1 = masked_patches(batch.keep_BK[:1], vision.tokens)[0, :, None]
    patches_NP = patch_vectors(image, vision.patch)[0]
    blank_NP = torch.where(hidden_N1, torch.full_like(patches_NP, _HIDDEN), patches_NP)
    filled_NP = torch.where(hidden_N1, predicted_NP, patches_NP)
    heat_N = torch.zeros(vision.tokens, device=similarity_K.device)
    warmth_K = (similarity_K - similarity_K.min()) / (similarity_K.max() - similarity_K.min()).clamp(min=1e-6)
    heat_N[batch.keep_BK[0]] = warmth_K**2
    heat_NP = heat_N[:, None].expand_as(patches_NP)
    middle = vision.image[1] // 2
    slices = [
        unpatchify(part[None], vision.grid, vision.patch)[0, 0, :, middle].cpu()
        for part in (blank_NP, filled_NP, patches_NP, heat_NP)
    ]
    blank, filled, plain = (_grey(part) for part in slices[:3])
    heat = _upright(slices[3])[..., None] * 0.7
    return np.concatenate([_bytes(part) for part in (blank, filled, plain * (1 - heat) + heat * np.array(_WARM))], 1)


def _grey(slice_HD: Tensor) -> NDArray[np.float32]:
    return np.repeat((_upright(slice_HD)[..., None] + 1) / 2, 3, axis=2)


def _upright(slice_HD: Tensor) -> NDArray[np.float32]:
    """The head up, the patient's right on the left, square voxels."""
    picture: NDArray[np.float32] = np.repeat(slice_HD.numpy().T[::-1, ::-1], 2, axis=0)
    return picture


def _bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (255 * np.clip(picture, 0, 1)).astype(np.uint8)
