"""MG-3D, rebuilt: masked image and report, and what scans, sentences and patients share (docs/methods/mg3d.md).

Source: Ni et al., "MG-3D: Multi-Grained Knowledge-Enhanced 3D Medical Vision-Language Pre-training" (2024); written
from its description alone, because its code has no licence.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from tokenizers import Encoding
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.losses import at_least_float32, masked_report_loss
from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.text.bert import Bert
from simcrop_core.text.sentences import split_sentences
from simcrop_training.data.source import Pair
from simcrop_training.engine.objective import Rows
from simcrop_training.objectives.cross_attention import Weights
from simcrop_training.objectives.mae3d import Mae3d
from simcrop_training.objectives.mg3d_network import MultiGranularity, Reading, sentence_means
from simcrop_training.objectives.pairs import PairData, Pairs, PairSettings, number_of
from simcrop_training.objectives.two_towers import same_text, symmetric_contrast

_OUTSIDE = -1


@dataclass(frozen=True, slots=True)
class Mg3dSettings(PairSettings):
    """Attributes of the objective.

    Attributes:
        cross: weights of the cross-attention.
        cross_layers: in each direction.
        temperature: divides the cosines of both contrasts.
        sal: weight of sentences filled in beside sentences written.
        cml: weight of the contrast of scans with reports before and after they saw each other.
        dcl: weight of the contrast of scans with what their sentences look at.
        ssm: weight of sentences of different patients.
        alike: sentences of this cosine or more shall have regions of the same cosine.
        unlike: sentences of this cosine or less shall have regions of cosine 0.
        soft_same_text: scans whose reports are the same words do not repel each other.
    """

    cross: Weights = "sigmoid"
    cross_layers: int = 2
    temperature: float = 0.1
    sal: float = 0.1
    cml: float = 0.1
    dcl: float = 0.1
    ssm: float = 0.1
    alike: float = 0.9
    unlike: float = 0.6
    soft_same_text: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class SentencePairs(Pairs):
    """A micro-batch that knows its sentences and patients.

    Attributes:
        belongs_BST: which word pieces make which sentence of the report.
        patients_B: a number a patient.
    """

    belongs_BST: Tensor
    patients_B: Tensor


class Mg3d(Mae3d):
    """The objective `mg3d`; a `Contrast` over all frames of a step. Arguments as those of `PairObjective`."""

    reconstruction: ClassVar[bool] = True
    remark = "MG-3D rebuilt from its description."

    def __init__(self, config: PretrainingConfig, data: PairData, settings: Mg3dSettings, seed: int) -> None:
        self.settings = s = settings
        self.weights: Mapping[str, float] = {
            "image": 1.0, "report": 1.0, "sal": s.sal, "cml": s.cml, "dcl": s.dcl, "ssm": s.ssm,
        }  # fmt: skip
        super().__init__(config, data, settings, seed)

    def network_of(self, bert: Bert, /) -> nn.Module:
        """See `PairObjective`."""
        return MultiGranularity(self.config, bert, layers=self.settings.cross_layers, kind=self.settings.cross)

    @property
    def network(self) -> MultiGranularity:
        """What is trained."""
        assert isinstance(self.module, MultiGranularity)
        return self.module

    def side_by_side(self, pairs: Sequence[Pair], ordinals: range) -> SentencePairs:
        """See `PairObjective`; reports are their sentences, one after the other."""
        split = [[split_sentences(pair.findings), split_sentences(pair.impression)] for pair in pairs]
        whole = [
            dataclasses.replace(pair, findings=" ".join(findings), impression=" ".join(impression))
            for pair, (findings, impression) in zip(pairs, split, strict=True)
        ]
        shown = super().side_by_side(whole, ordinals)
        numbers_BT = torch.full_like(shown.words_BT, _OUTSIDE)
        for b, (findings, impression) in enumerate(split):
            first = self._numbers(findings)
            second = [len(findings) + number for number in self._numbers(impression)]
            kept = self.masker.cut(first, second)
            numbers_BT[b, 1 : len(kept) + 1] = torch.tensor(kept, dtype=torch.long)
        places_S1 = torch.arange(max(1, int(numbers_BT.max()) + 1)).unsqueeze(1)
        return SentencePairs(
            **{field.name: getattr(shown, field.name) for field in dataclasses.fields(shown)},
            belongs_BST=numbers_BT.unsqueeze(1) == places_S1,
            patients_B=torch.tensor(
                [number_of(pair.patient or f"{pair.findings}\n{pair.impression}") for pair in whole]
            ),
        )

    def counts(self, batch: Pairs, /) -> dict[str, int]:
        """Those of `mae3d`, word pieces to fill in, and sentences."""
        assert isinstance(batch, SentencePairs)
        asked, sentences = batch.labels_BT != NOT_A_TARGET, batch.belongs_BST.any(dim=2)
        return {**super().counts(batch), "report": int(asked.sum()), "sal": int(sentences.sum())}

    def rows(self, batch: Pairs, /) -> Rows:
        """What is compared between frames, and between sentences."""
        return _rows(self._read(batch), batch)

    def totals(self, batch: Pairs, /) -> dict[str, Tensor]:
        """The sums of the losses of single pairs: hidden patches, hidden words, sentences filled in."""
        return self.totals_and_rows(batch)[0]

    def totals_and_rows(self, batch: Pairs, /) -> tuple[dict[str, Tensor], Rows]:
        """See `Contrast`."""
        assert isinstance(batch, SentencePairs)
        network, reading, images_B1HWD = self.network, self._read(batch), self.frames(batch)
        totals = self.image_totals(images_B1HWD, network.vision(images_B1HWD, batch.keep_BK), batch)
        states_BTC = network.filled_in(batch.report_BT, batch.attended_BT, reading.patches_BNC)
        asked_BT = batch.labels_BT != NOT_A_TARGET
        totals["report"] = masked_report_loss(network.head(states_BTC[asked_BT]), batch.labels_BT[asked_BT]).total
        found_BSP = network.sentence_projection(sentence_means(states_BTC, batch.belongs_BST))
        # What was written is the aim, and does not move towards what was filled in.
        wanted_BSP = network.sentence_projection(reading.sentences_BSC).detach()
        distance_BS = 1 - F.cosine_similarity(at_least_float32(found_BSP), at_least_float32(wanted_BSP), dim=-1)
        totals["sal"] = (distance_BS * batch.belongs_BST.any(dim=2)).sum()
        return totals, _rows(reading, batch)

    def compared(self, rows: Sequence[Rows], /) -> dict[str, Tensor]:
        """Both contrasts over all frames of the step, and the similarities of all sentences of different patients."""
        s = self.settings
        single_BG, crossed_BG, whole_BC, drawn_BC, reports_B = (
            torch.cat([r[name] for r in rows]) for name in ("single", "crossed", "whole", "drawn", "report")
        )
        own_B = reports_B if s.soft_same_text else torch.arange(len(reports_B), device=reports_B.device)
        target_BB = same_text(own_B)
        regions_MC, sentences_MC, said_M, patients_M = (
            torch.cat([r[name].flatten(0, 1) for r in rows]) for name in ("regions", "sentences", "said", "patients")
        )
        return {
            "cml": symmetric_contrast(crossed_BG @ single_BG.T / s.temperature, target_BB),
            "dcl": symmetric_contrast(drawn_BC @ whole_BC.T / s.temperature, target_BB),
            "ssm": similarity_loss(
                regions_MC, sentences_MC, said_M, patients_M, alike=s.alike, unlike=s.unlike
            ),
        }  # fmt: skip

    def _read(self, batch: Pairs) -> Reading:
        assert isinstance(batch, SentencePairs)
        return self.network.read(self.frames(batch), batch.words_BT, batch.attended_BT, batch.belongs_BST)

    def _numbers(self, sentences: Sequence[str]) -> list[int]:
        """The sentence of each word piece of a section that is these sentences, a space between them."""
        encoding = self.tokenizer.encode(" ".join(sentences), add_special_tokens=False)
        return sentence_numbers(sentences, encoding)


def sentence_numbers(sentences: Sequence[str], encoding: Encoding) -> list[int]:
    """The number of the sentence that each word piece lies in.

    Args:
        sentences: of a text that has a space between them.
        encoding: of that text.
    """
    starts = list(itertools.accumulate((len(sentence) + 1 for sentence in sentences), initial=0))[:-1]
    return [bisect.bisect_right(starts, start) - 1 for start, _ in encoding.offsets]


def similarity_loss(
    regions_MC: Tensor,
    sentences_MC: Tensor,
    said_M: Tensor,
    patients_M: Tensor,
    *,
    alike: float,
    unlike: float,
) -> Tensor:
    """Mean distance of the cosine of two regions from what their sentences of different patients ask for.

    Sentences of cosine c ask for c from `alike` on, for 0 up to `unlike`, and for nothing between.

    Args:
        regions_MC: of the sentences, length 1.
        sentences_MC: themselves, length 1; without gradient.
        said_M: false for padding.
        patients_M: a number a patient.
        alike: see above.
        unlike: see above.
    """
    cosine_MM = (sentences_MC @ sentences_MC.T).detach()
    near_MM = cosine_MM >= alike
    counted_MM = (near_MM | (cosine_MM <= unlike)) & said_M & said_M[:, None] & (patients_M != patients_M[:, None])
    distance_MM = (regions_MC @ regions_MC.T - cosine_MM * near_MM).abs() * counted_MM
    return distance_MM.sum() / counted_MM.sum().clamp(min=1)


def _rows(reading: Reading, batch: Pairs) -> Rows:
    assert isinstance(batch, SentencePairs)
    said_BS = batch.belongs_BST.any(dim=2)
    return {
        "single": reading.single_BG,
        "crossed": reading.crossed_BG,
        "whole": reading.whole_BC,
        "drawn": reading.drawn_BC,
        "regions": reading.regions_BSC,
        "sentences": reading.said_BSC,
        "said": said_BS,
        "patients": batch.patients_B[:, None].expand_as(said_BS),
        "report": batch.reports_B,
    }
