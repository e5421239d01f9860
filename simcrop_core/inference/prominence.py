"""How far a sentence's best patches stand out from the others that its words alone would pick."""

from __future__ import annotations

from torch import Tensor

# "Mass in the left lower lobe" fits every patch of that lobe a little. The best patches count, less a part of what the
# patches of these places in the order have; chosen on phantoms (docs/methods/grounding.md).
_BEST, _OTHERS, _PART = 2, (100, 400), 0.6


def prominence(maps_SN: Tensor, patches: int) -> Tensor:
    """(S,) mean cosine of each sentence's two best patches, less 0.6 times that of its 100th to 400th best.

    Args:
        maps_SN: cosines; −1 in padding.
        patches: how many of them hold scan; where they are few, the last of them stand for the others.
    """
    first, last = min(_OTHERS[0], patches - 1), min(_OTHERS[1], patches)
    ordered_SN = maps_SN.topk(last, dim=1).values
    return ordered_SN[:, :_BEST].mean(dim=1) - _PART * ordered_SN[:, first:last].mean(dim=1)
