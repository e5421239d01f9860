"""The contrast of organs with what reports say of them (docs/methods/fvlm.md)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simcrop_core.models.losses import at_least_float32


@dataclass(frozen=True, slots=True, eq=False)
class OrganTargets:
    """Which texts belong to which organs, organ by organ.

    Attributes:
        allowed_ONN: pairs of samples that both show the organ whole; and every sample with itself, so that no row is
            empty.
        shares_ONN: of each sample's organ in each text: rows of valid samples sum to 1.
        abnormal_ONN: allowed pairs of two samples with something wrong.
        valid_ON: samples that take part.
        compared_O: organs in which not all belongs to all.
    """

    allowed_ONN: Tensor
    shares_ONN: Tensor
    abnormal_ONN: Tensor
    valid_ON: Tensor
    compared_O: Tensor


def organ_targets(valid_NO: Tensor, normal_NO: Tensor, texts_NO: Tensor) -> OrganTargets:
    """An organ belongs to its own text, to the same text of another, and, if normal, to the text of any normal one.

    Args:
        valid_NO: whether a sample shows the organ whole.
        normal_NO: whether its text says that nothing is wrong.
        texts_NO: a number a text, the same for the same words.
    """
    valid_ON, normal_ON, texts_ON = valid_NO.T, normal_NO.T, texts_NO.T
    own_NN = torch.eye(valid_ON.shape[1], dtype=torch.bool, device=valid_ON.device)
    both_ONN = valid_ON[:, :, None] & valid_ON[:, None, :]
    same_ONN = (texts_ON[:, :, None] == texts_ON[:, None, :]) | (normal_ON[:, :, None] & normal_ON[:, None, :])
    belongs_ONN = (same_ONN & both_ONN) | own_NN
    return OrganTargets(
        allowed_ONN=both_ONN | own_NN,
        shares_ONN=belongs_ONN.double() / belongs_ONN.sum(dim=2, keepdim=True),
        abnormal_ONN=both_ONN & ~normal_ON[:, :, None] & ~normal_ON[:, None, :],
        valid_ON=valid_ON,
        compared_O=(both_ONN & ~same_ONN).flatten(1).any(dim=1),
    )


def organ_logits(image_NOC: Tensor, text_NOC: Tensor, temperature: Tensor, targets: OrganTargets) -> Tensor:
    """(O, N, N) cosines of organs with texts over the temperature, −∞ where a pair does not take part."""
    # Autocast would multiply in bfloat16: cosines to within 0.004, which the temperature makes 0.06.
    with torch.autocast(image_NOC.device.type, enabled=False):
        cosine_ONN = torch.einsum("ioc,joc->oij", at_least_float32(image_NOC), at_least_float32(text_NOC))
        logits_ONN: Tensor = (cosine_ONN / temperature).masked_fill(~targets.allowed_ONN, -torch.inf)
    return logits_ONN


def organ_contrast(
    logits_ONN: Tensor,
    targets: OrganTargets,
    *,
    peer_ONN: Tensor | None = None,
    trust: Tensor | float = 0.0,
) -> Tensor:
    """The sum over organs of the mean of both directions' cross-entropies, ().

    An organ in which everything belongs to everything, such as one that is normal in all samples, has no part in it.

    Args:
        logits_ONN: from `organ_logits`.
        targets: of the same samples.
        peer_ONN: logits of another network, which says what abnormal samples have in common (co-teaching); it gets no
            gradient from here.
        trust: how much it is believed, 0…1.
    """
    losses_O = logits_ONN.new_zeros(len(logits_ONN))
    for turned in (False, True):
        logits, peer = (t.transpose(1, 2) if t is not None and turned else t for t in (logits_ONN, peer_ONN))
        assert logits is not None
        shares = targets.shares_ONN.to(logits.dtype)
        if peer is not None:
            shares = _shared_with(shares, peer.detach(), targets.abnormal_ONN, trust)
        scores = logits.log_softmax(dim=2).masked_fill(~targets.allowed_ONN, 0.0)
        losses_ON = -(shares * scores).sum(dim=2) * targets.valid_ON
        losses_O = losses_O + losses_ON.sum(dim=1) / targets.valid_ON.sum(dim=1).clamp(min=1) / 2
    return (losses_O * targets.compared_O).sum()


def _shared_with(shares_ONN: Tensor, peer_ONN: Tensor, abnormal_ONN: Tensor, trust: Tensor | float) -> Tensor:
    """Targets of abnormal samples mixed with what the peer finds among abnormal ones; rows sum to 1 as before."""
    believed_ONN = peer_ONN.softmax(dim=2).to(shares_ONN.dtype)
    mixed_ONN = torch.where(abnormal_ONN, (1 - trust) * shares_ONN + trust * believed_ONN, shares_ONN)
    return mixed_ONN / mixed_ONN.sum(dim=2, keepdim=True)
