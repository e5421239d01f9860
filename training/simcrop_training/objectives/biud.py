"""BIUD, rebuilt: scans against reports, false negatives corrected, taught by an X-ray expert (docs/methods/biud.md).

Source: Cao et al., "Bootstrapping Chest CT Image Understanding by Distilling Knowledge from X-ray Expert Models", CVPR
2024, which published no code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.fusion import Fusion
from simcrop_core.models.losses import at_least_float32, masked_report_loss
from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.models.report_decoder import VocabularyHead
from simcrop_core.text.bert import Bert
from simcrop_training.data.source import Pair
from simcrop_training.engine.objective import Rows
from simcrop_training.objectives.entity_words import entity_pieces, focused_mask
from simcrop_training.objectives.expert_bank import read_bank, simulated_bank
from simcrop_training.objectives.pairs import PairData, PairObjective, Pairs, PairSettings
from simcrop_training.objectives.two_towers import TwoTowers, symmetric_contrast

_HIDDEN_ENTITIES, _HIDDEN_OTHERS = 10, 11


@dataclass(frozen=True, slots=True)
class BiudSettings(PairSettings):
    """Attributes of the objective.

    Attributes:
        dim: of the space in which scans and reports meet.
        temperature: divides the cosines of both the contrast and the relations.
        delta: reports whose embeddings have this cosine or more are no negatives of each other; above 1 none are.
        entity_ratio: share of the words of findings and anatomy that is hidden.
        other_ratio: share of the other words.
        expert_bank: file of the X-ray expert's bank (`expert_bank.read_bank`); without it there is no expert.
        centred: whether the bank's mean text embedding is taken off before texts are compared.
        simulated: so many training sentences stand in for the bank, at most, where there is no expert.
    """

    dim: int = 512
    temperature: float = 0.07
    delta: float = 0.95
    entity_ratio: float = 0.5
    other_ratio: float = 0.15
    expert_bank: str | None = None
    centred: bool = False
    simulated: int = 32768


@dataclass(frozen=True, slots=True, eq=False)
class TaughtPairs(Pairs):
    """A micro-batch whose reports have the words of entities hidden more often.

    Attributes:
        known_BC: what the frozen text encoder makes of each report, as the bank holds texts.
        expert_BX: the expert's vector of the radiograph whose report is most alike, length 1.
    """

    known_BC: Tensor
    expert_BX: Tensor


class TaughtTowers(TwoTowers):
    """Two towers, a map of scans into the expert's space, and cross-attention that fills in hidden words."""

    def __init__(self, config: PretrainingConfig, bert: Bert, *, dim: int, temperature: float, expert_dim: int) -> None:
        super().__init__(config, bert, dim=dim, pool="mean", scale=1 / temperature, rule="exp")
        self.scale.requires_grad_(False)
        self.expert_projection = nn.Linear(dim, expert_dim)
        self.fusion = Fusion(
            bert.config.dim,
            config.vision.dim,
            heads=config.fusion_heads,
            mode="residual",
            dropout=config.report_decoder.dropout,
            use_instance=False,
        )
        self.head = VocabularyHead(bert.config.dim, config.report_decoder.vocabulary)

    def word_scores(self, tokens_BNC: Tensor, batch: Pairs) -> Tensor:
        """Scores of the hidden pieces, in order, from the masked report and all patches."""
        states_BTC = self.text_encoder(batch.report_BT, batch.attended_BT)
        fused_BTC = self.fusion(states_BTC, tokens_BNC[:, int(self.vision.config.cls_token) :])
        scores: Tensor = self.head(fused_BTC[batch.labels_BT != NOT_A_TARGET])
        return scores


class Biud(PairObjective):
    """The objective `biud`; a `Contrast` over all frames of a step. Arguments as those of `PairObjective`.

    Attributes:
        bank: of the X-ray expert, or what stands in for it; `bank.expert` says which.

    Raises:
        UnusableExpertBank: `settings.expert_bank` cannot be used.
    """

    reconstruction: ClassVar[bool] = True
    weights: Mapping[str, float] = MappingProxyType(
        {"contrast": 1.0, "pair": 1.0, "relation": 1.0, "report": 1.0, "corrected": 0.0}
    )

    def __init__(self, config: PretrainingConfig, data: PairData, settings: BiudSettings, seed: int) -> None:
        self.settings = settings
        if settings.expert_bank is None:
            sentences_MC = data.source.sentence_embeddings(settings.simulated)
            self.bank = simulated_bank(sentences_MC, centred=settings.centred)
        else:
            self.bank = read_bank(Path(settings.expert_bank), width=config.text.dim, centred=settings.centred)
        self.remark = f"BIUD rebuilt from its description, taught by {self.bank.expert}."
        super().__init__(config, data, settings, seed)

    def network_of(self, bert: Bert, /) -> nn.Module:
        """See `PairObjective`."""
        s = self.settings
        expert_dim = self.bank.image_MX.shape[1]
        return TaughtTowers(self.config, bert, dim=s.dim, temperature=s.temperature, expert_dim=expert_dim)

    @property
    def network(self) -> TaughtTowers:
        """What is trained."""
        assert isinstance(self.module, TaughtTowers)
        return self.module

    def side_by_side(self, pairs: Sequence[Pair], ordinals: range) -> TaughtPairs:
        """See `PairObjective`."""
        shown = super().side_by_side(pairs, ordinals)
        fields = {field.name: getattr(shown, field.name) for field in dataclasses.fields(shown)}
        fields["report_BT"], fields["labels_BT"] = self._entities_hidden(shown, pairs, ordinals)
        spoken_BS = shown.identities_BS >= 0
        text_BC = shown.sentences_BSC.sum(dim=1) / spoken_BS.sum(dim=1, keepdim=True).clamp(min=1)
        known_BC = self.bank.placed(text_BC.numpy())
        expert_BX = self.bank.nearest(known_BC)
        return TaughtPairs(**fields, known_BC=torch.from_numpy(known_BC), expert_BX=torch.from_numpy(expert_BX))

    def counts(self, batch: Pairs, /) -> dict[str, int]:
        """Frames, and word pieces to fill in."""
        return {"pair": len(batch.reports_B), "report": int((batch.labels_BT != NOT_A_TARGET).sum())}

    def rows(self, batch: Pairs, /) -> Rows:
        """Vectors of scans and reports, of the texts as the frozen encoder has them, and of the expert."""
        return self._rows(batch, self.network.vision(self.frames(batch)))

    def totals(self, batch: Pairs, /) -> dict[str, Tensor]:
        """The sums of the losses of single pairs: distance from the expert, and hidden words."""
        return self.totals_and_rows(batch)[0]

    def totals_and_rows(self, batch: Pairs, /) -> tuple[dict[str, Tensor], Rows]:
        """See `Contrast`."""
        network = self.network
        tokens_BNC = network.vision(self.frames(batch))
        rows = self._rows(batch, tokens_BNC)
        taught_BX = at_least_float32(network.expert_projection(rows["image"]))
        pair = (1 - F.cosine_similarity(taught_BX, rows["expert"], dim=-1)).sum()
        labels = batch.labels_BT[batch.labels_BT != NOT_A_TARGET]
        report = masked_report_loss(network.word_scores(tokens_BNC, batch), labels)
        return {"pair": pair, "report": report.total}, rows

    def compared(self, rows: Sequence[Rows], /) -> dict[str, Tensor]:
        """The corrected contrast and the distillation of relations over all frames of the step.

        `corrected` is how many other frames, on average, a frame does not repel because their reports say the same.
        """
        image_BC, text_BC, known_BC, expert_BX = (
            torch.cat([r[name] for r in rows]) for name in ("image", "text", "known", "expert")
        )
        s = self.settings
        alike_BB = known_BC @ known_BC.T >= s.delta
        return {
            "contrast": symmetric_contrast(image_BC @ text_BC.T / s.temperature, corrected_targets(alike_BB)),
            "relation": relation_loss(image_BC, expert_BX, s.temperature),
            "corrected": alike_BB.float().fill_diagonal_(0).sum(dim=1).mean(),
        }

    def image_vectors(self, images_B1HWD: Tensor) -> Tensor:
        """(B, C) of length 1, for zero-shot (`evaluate.zero_shot`)."""
        return self.network.image_vectors(images_B1HWD)

    def text_vectors(self, ids_BT: Tensor, attended_BT: Tensor) -> Tensor:
        """(B, C) of length 1."""
        return self.network.text_vectors(ids_BT, attended_BT)

    def similarity_scale(self) -> float:
        """What cosines of a scan with texts are multiplied by."""
        return 1 / self.settings.temperature

    def _rows(self, batch: Pairs, tokens_BNC: Tensor) -> dict[str, Tensor]:
        assert isinstance(batch, TaughtPairs)
        image_BC = self.network.vectors_of(tokens_BNC)
        return {
            "image": image_BC,
            "text": self.network.text_vectors(batch.words_BT, batch.attended_BT),
            "known": batch.known_BC,
            "expert": batch.expert_BX.to(image_BC.dtype),
        }

    def _entities_hidden(self, shown: Pairs, pairs: Sequence[Pair], ordinals: range) -> tuple[Tensor, Tensor]:
        """Masked word pieces and labels of the reports in `shown`."""
        continues_BT = torch.zeros_like(shown.attended_BT)
        special_BT, entity_BT = torch.ones_like(continues_BT), torch.zeros_like(continues_BT)
        for b, pair in enumerate(pairs):
            _, continues = self.masker.pieces(pair.findings, pair.impression)
            marks = self.masker.cut(*(self._entity_pieces(text) for text in (pair.findings, pair.impression)))
            continues_BT[b, : len(continues)] = torch.tensor(continues)
            special_BT[b, 1 : len(marks) + 1] = False
            entity_BT[b, 1 : len(marks) + 1] = torch.tensor(marks, dtype=torch.bool)
        width = shown.words_BT.shape[1]
        longest, mask_id = self.settings.report_tokens, self.tokenizer.token_to_id("[MASK]")
        assert mask_id is not None
        noise_2BT = torch.stack(
            [torch.stack([self._noise(longest, o, p) for o in ordinals]) for p in (_HIDDEN_ENTITIES, _HIDDEN_OTHERS)]
        )[:, :, :width]
        return focused_mask(
            shown.words_BT,
            continues_BT,
            special_BT,
            entity_BT,
            noise_2BT,
            ratios=(self.settings.entity_ratio, self.settings.other_ratio),
            mask_id=mask_id,
        )

    def _entity_pieces(self, text: str) -> list[bool]:
        return entity_pieces(text, self.tokenizer.encode(text, add_special_tokens=False))


def corrected_targets(alike_BB: Tensor) -> Tensor:
    """(B, B) target shares: a frame's own report counts once, and once more with every report that says the same."""
    target_BB = alike_BB.double() + torch.eye(len(alike_BB), dtype=torch.float64, device=alike_BB.device)
    return target_BB / target_BB.sum(dim=1, keepdim=True)


def relation_loss(student_BC: Tensor, teacher_BX: Tensor, temperature: float) -> Tensor:
    """KL divergence of how like each other the student's vectors are from how like the teacher's are, a mean of rows.

    Args:
        student_BC: of length 1.
        teacher_BX: of length 1, any width.
        temperature: divides the cosines.
    """
    wanted_BB = (teacher_BX @ teacher_BX.T / temperature).log_softmax(dim=1)
    found_BB = (student_BC @ student_BC.T / temperature).log_softmax(dim=1)
    return F.kl_div(found_BB, wanted_BB, reduction="batchmean", log_target=True)
