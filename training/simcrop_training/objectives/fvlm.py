"""fVLM on the shared encoder: each organ of a scan against what the report says of it (docs/methods/fvlm.md).

Source: Shui et al., ICLR 2025; written from descriptions, not from its code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.text.bert import Bert
from simcrop_training.data.anatomies import anatomies
from simcrop_training.data.decompose import (
    JsonDecomposer,
    NormalRule,
    OrganText,
    ReportDecomposer,
    RuleDecomposer,
    Said,
    organ_text,
)
from simcrop_training.data.organs import MOST_ORGANS, Located, located
from simcrop_training.data.source import Pair
from simcrop_training.engine.errors import NoOrganMaps
from simcrop_training.engine.objective import Rows
from simcrop_training.objectives.organ_contrast import organ_contrast, organ_logits, organ_targets
from simcrop_training.objectives.organ_towers import OrganTowers
from simcrop_training.objectives.pairs import PairData, PairObjective, Pairs, PairSettings, number_of

_COMPARED = ("valid", "normal", "said")


@dataclass(frozen=True, slots=True)
class FvlmSettings(PairSettings):
    """Attributes of the objective.

    Attributes:
        report_tokens: longer texts of an organ are cut.
        organs: names of anatomies.yaml; each needs a class in the label maps.
        levels: blocks of 12 whose output an organ is drawn from, beside that of the last norm.
        dim: of the space in which organs and texts meet.
        heads: of the attention by which organs are drawn.
        dropout: in it.
        temperature: at the start.
        temperature_range: it is kept in.
        normal_rule: when an organ is normal (`data.decompose.organ_text`).
        allow_border: whether an organ that leaves the scan, not only the frame, takes part.
        coteach: whether two networks are trained, each saying which abnormal texts of the other's are alike.
        trust: share of the peer in the targets, reached along a line after `trust_epochs`.
        trust_epochs: epochs until then.
        decomposer: how reports are taken apart: by rules, or as two files say.
        findings_file: {study: {organ: text}}, of the section Findings.
        impression_file: the same of the section Impression.
    """

    report_tokens: int = 384
    organs: tuple[str, ...] = ("lung", "heart", "esophagus", "aorta")
    levels: tuple[int, ...] = (4, 7, 10)
    dim: int = 256
    heads: int = 4
    dropout: float = 0.1
    temperature: float = 0.07
    temperature_range: tuple[float, float] = (0.001, 0.5)
    normal_rule: NormalRule = "impression"
    allow_border: bool = True
    coteach: bool = False
    trust: float = 0.5
    trust_epochs: float = 2.0
    decomposer: Literal["rules", "json"] = "rules"
    findings_file: str = ""
    impression_file: str = ""

    def __post_init__(self) -> None:
        PairSettings.__post_init__(self)
        if unknown := sorted(set(self.organs) - anatomies().keys()):
            raise ValueError(f"anatomies.yaml has no {', '.join(unknown)}; it has {', '.join(anatomies())}.")
        if not 0 < len(set(self.organs)) == len(self.organs) <= MOST_ORGANS:
            raise ValueError(f"organs are 1 to {MOST_ORGANS} different names, not {self.organs}.")
        if self.decomposer == "json" and not (self.findings_file and self.impression_file):
            raise ValueError("The decomposer json needs findings_file and impression_file.")


@dataclass(frozen=True, slots=True, eq=False)
class OrganPairs(Pairs):
    """A micro-batch with its organs.

    Attributes:
        tokens_BON: true where a patch belongs to an organ.
        valid_BO: whether the organ takes part: it is in the frame, and whole.
        normal_BO: whether its text says that nothing is wrong.
        said_BO: a number a text, the same for the same words anywhere.
        ids_TL: word pieces of the different texts of valid organs.
        known_TL: true where there is a piece, false for padding.
        text_BO: which of them each organ has; 0 where it does not take part.
        trust_1: share of the peer in the targets.
    """

    tokens_BON: Tensor
    valid_BO: Tensor
    normal_BO: Tensor
    said_BO: Tensor
    ids_TL: Tensor
    known_TL: Tensor
    text_BO: Tensor
    trust_1: Tensor


class Fvlm(PairObjective):
    """The objective `fvlm`; a `Contrast` over all frames of a step, organ by organ.

    Attributes:
        decomposer: how reports are taken apart; another one may be set before training.

    Raises:
        NoOrganMaps: the source has no label maps.
        UnusableOrganTexts: the files of the json decomposer cannot be used.
    """

    needs_organs: ClassVar[bool] = True

    def __init__(self, config: PretrainingConfig, data: PairData, settings: FvlmSettings, seed: int) -> None:
        self.settings = settings
        self.organs = tuple(anatomies()[name] for name in settings.organs)
        self.weights: Mapping[str, float] = {"contrast": 1.0} | ({"peer": 1.0} if settings.coteach else {})
        self.decomposer: ReportDecomposer = RuleDecomposer()
        if settings.decomposer == "json":
            self.decomposer = JsonDecomposer(Path(settings.findings_file), Path(settings.impression_file))
        # Before the network is built: a run that cannot begin says so at once.
        if data.source.pairs:
            self._located(data.source.pair(0), config)
        super().__init__(config, data, settings, seed)

    def network_of(self, bert: Bert, /) -> nn.Module:
        """See `PairObjective`."""
        s = self.settings
        return OrganTowers(
            self.config, bert, organs=len(s.organs), dim=s.dim, heads=s.heads, dropout=s.dropout, levels=s.levels,
            temperature=s.temperature, with_peer=s.coteach,
        )  # fmt: skip

    @property
    def network(self) -> OrganTowers:
        """What is trained."""
        assert isinstance(self.module, OrganTowers)
        return self.module

    def side_by_side(self, pairs: Sequence[Pair], ordinals: range) -> OrganPairs:
        """See `PairObjective`; with the organs of each frame and what its report says of them."""
        shared = super().side_by_side(pairs, ordinals)
        found = [self._located(pair, self.config) for pair in pairs]
        texts = [self.texts_of(pair) for pair in pairs]
        valid_BO = np.stack([organs.whole_O for organs in found])
        rows, numbers = self._different(texts, valid_BO)
        ids_TL, known_TL = self.pieces(list(numbers) or [""])
        step = ordinals.start // self.samples
        epochs = step * self.samples / self.data.source.pairs
        return OrganPairs(
            **{field.name: getattr(shared, field.name) for field in dataclasses.fields(Pairs)},
            tokens_BON=torch.from_numpy(np.stack([organs.tokens_ON for organs in found])),
            valid_BO=torch.from_numpy(valid_BO),
            normal_BO=torch.tensor([[text.normal for text in row] for row in texts]),
            said_BO=torch.tensor([[number_of(text.whole) for text in row] for row in texts]),
            ids_TL=ids_TL,
            known_TL=known_TL,
            text_BO=torch.tensor(rows),
            trust_1=torch.tensor([self.settings.trust * min(epochs / self.settings.trust_epochs, 1.0)]),
        )

    def texts_of(self, pair: Pair) -> list[OrganText]:
        """What the report says of each organ.

        A report without an impression is read as `lexical` has it: that it has none does not make everything normal.
        """
        rule = self.settings.normal_rule if pair.impression.strip() else "lexical"
        said = self.decomposer.decompose(pair.findings, pair.impression, pair.study)
        return [organ_text(name, said.get(name, Said("", "")), rule) for name in self.settings.organs]

    def pieces(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(T, L) word pieces of texts, and where there are any."""
        cut = [self.masker.pieces(text, "")[0] for text in texts]
        ids_TL = torch.zeros(len(cut), max(map(len, cut)), dtype=torch.long)
        known_TL = torch.zeros(ids_TL.shape, dtype=torch.bool)
        for row, ids in enumerate(cut):
            ids_TL[row, : len(ids)] = torch.tensor(ids)
            known_TL[row, : len(ids)] = True
        return ids_TL, known_TL

    def rows(self, batch: Pairs, /) -> Rows:
        """Vectors of organs and texts, which take part, which are normal, which texts are the same, temperatures."""
        assert isinstance(batch, OrganPairs)
        images_B1HWD = self.frames(batch)
        rows = {"valid": batch.valid_BO, "normal": batch.normal_BO, "said": batch.said_BO, "trust": batch.trust_1}
        for name, towers in self._towers():
            texts_TC = towers.text_vectors(batch.ids_TL, batch.known_TL)
            rows |= {
                f"{name}image": towers.organ_vectors(images_B1HWD, batch.tokens_BON),
                f"{name}text": texts_TC[batch.text_BO],
                f"{name}temperature": towers.divisor(*self.settings.temperature_range),
            }
        return rows

    def totals_and_rows(self, batch: Pairs, /) -> tuple[dict[str, Tensor], Rows]:
        """See `Contrast`."""
        return {}, self.rows(batch)

    def compared(self, rows: Sequence[Rows], /) -> dict[str, Tensor]:
        """The sum over organs, each compared over all frames of the step that show it whole."""
        targets = organ_targets(*(torch.cat([r[name] for r in rows]) for name in _COMPARED))
        logits = {
            name: organ_logits(
                torch.cat([r[f"{name}image"] for r in rows]),
                torch.cat([r[f"{name}text"] for r in rows]),
                torch.cat([r[f"{name}temperature"] for r in rows]).mean(),
                targets,
            )
            for name, _ in self._towers()
        }
        if not self.settings.coteach:
            return {"contrast": organ_contrast(logits[""], targets)}
        trust = torch.cat([r["trust"] for r in rows]).mean()
        own, peer = logits[""], logits["peer_"]
        return {
            "contrast": organ_contrast(own, targets, peer_ONN=peer, trust=trust),
            "peer": organ_contrast(peer, targets, peer_ONN=own, trust=trust),
        }

    def _towers(self) -> list[tuple[str, OrganTowers]]:
        peer = self.network.peer
        return [("", self.network)] + ([("peer_", peer)] if peer is not None else [])

    def _located(self, pair: Pair, config: PretrainingConfig) -> Located:
        if pair.organs is None:
            raise NoOrganMaps(
                "fvlm compares organs, and a scan has no label map of them.",
                hint="CT-RATE has TotalSegmentator's beside its scans (dataset/ts_seg/ts_total): run simcrop-prepare "
                "with them into a new store. Samples of simcrop-train phantoms have them too.",
            )
        return located(pair.organs, self.organs, config.vision.grid, allow_border=self.settings.allow_border)

    def _different(
        self, texts: Sequence[Sequence[OrganText]], valid_BO: np.ndarray
    ) -> tuple[list[list[int]], dict[str, int]]:
        """Each text once, and which of them every organ has: most organs of a batch are normal in the same words."""
        numbers: dict[str, int] = {}
        rows = [
            [numbers.setdefault(text.encoded, len(numbers)) if valid else 0 for text, valid in zip(*row, strict=True)]
            for row in zip(texts, valid_BO, strict=True)
        ]
        return rows, numbers
