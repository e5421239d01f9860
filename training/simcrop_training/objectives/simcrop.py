"""SimCroP's own pre-training: masked image, sentence alignment and masked report (paper Eq. 1 to 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.losses import distinct
from simcrop_core.models.masking import NOT_A_TARGET, keep_indices, visible_count
from simcrop_core.models.simcrop import PretrainingBatch, SimCroP
from simcrop_core.text.bert import Bert
from simcrop_core.text.encoder import load_bert
from simcrop_training.data.frames import frames_of, intensities, patch_shares
from simcrop_training.data.sample import load_sample
from simcrop_training.data.source import Pair, Source, draws
from simcrop_training.engine.objective import View
from simcrop_training.objectives.grounding_metrics import Answer, summarise
from simcrop_training.objectives.masked_reports import ReportMasker
from simcrop_training.objectives.simcrop_cost import sample_flops
from simcrop_training.objectives.simcrop_view import view_of

_PADDING = -1
# What random numbers are for; a source uses 0.
_HIDDEN_PATCHES, _CHOSEN_SENTENCES, _HIDDEN_WORDS = 1, 2, 3


@dataclass(frozen=True, slots=True)
class SimCroPSettings:
    """Attributes of the objective.

    Attributes:
        batch: frames a step.
        micro_batch: frames computed at once; it divides `batch`. Part of what is learned only through rounding and
            dropout.
        report_tokens: longer reports are cut.
        sentences: at most so many of each report, drawn at random.
    """

    batch: int = 4
    micro_batch: int = 2
    report_tokens: int = 256
    sentences: int = 48

    def __post_init__(self) -> None:
        if self.batch % self.micro_batch:
            raise ValueError(f"A batch of {self.batch} cannot be made of micro-batches of {self.micro_batch}.")


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """A micro-batch: `PretrainingBatch` with (B, H, W, D) int16 HU in place of intensities."""

    images_BHWD: Tensor
    keep_BK: Tensor
    sentences_BSC: Tensor
    identities_BS: Tensor
    report_BT: Tensor
    attended_BT: Tensor
    labels_BT: Tensor


class TokenStates(nn.Module):
    """The project's BERT behind the call that the pre-training network makes."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        """(B, T) ids and mask → an object with `last_hidden_state`, (B, T, C)."""
        return SimpleNamespace(last_hidden_state=self.bert(input_ids, attention_mask))


class SimCroPPretraining:
    """The objective `simcrop` (see `engine.objective.Objective`).

    Every draw is a function of (seed, ordinal of the frame in the run) alone: order, crop and change by the source,
    hidden patches, chosen sentences and hidden words here.

    Args:
        config: of the network.
        frame: what a stored image is shown as.
        settings: of this objective.
        source: of scans with reports.
        held_out: stored samples to measure regions on; may be empty.
        validation: scans with reports to measure the losses on, or None.
        embeddings: of the sentences in `held_out`, (text width,).
        top_k: patches that make a region when all are visible, while measuring.
        seed: of initialisation and masks.
    """

    def __init__(
        self,
        config: PretrainingConfig,
        frame: FrameConfig,
        settings: SimCroPSettings,
        *,
        source: Source,
        held_out: Sequence[Path] = (),
        validation: Source | None = None,
        embeddings: Mapping[str, NDArray[np.float32]] | None = None,
        top_k: int,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        tokenizer, bert = load_bert(config.text)
        self._masker = ReportMasker(tokenizer, config, settings.report_tokens)
        self.module: nn.Module = SimCroP(config, TokenStates(bert))
        if not config.use_align:
            # No loss reaches them, and ranks would wait for their gradients.
            self.network.text_projection.requires_grad_(False)
            self.network.image_projection.requires_grad_(False)
        self.config, self.frame, self.top_k = config, frame, top_k
        self._settings, self._seed, self.source = settings, seed, source
        self._held_out, self._validation, self._embeddings = list(held_out), validation, embeddings or {}
        self.samples = settings.batch
        self.micro_batches = settings.batch // settings.micro_batch
        self.sample_bytes = source.pair_bytes
        self.sample_flops = sample_flops(config, settings.report_tokens)
        self.weights: Mapping[str, float] = {"image": 1.0}
        if config.use_align:
            self.weights = {**self.weights, "alignment": config.align_weight}
        if config.use_report:
            self.weights = {**self.weights, "report": config.report_weight}

    @property
    def network(self) -> SimCroP:
        """What is trained; the loop may put a copy in its place while it measures."""
        assert isinstance(self.module, SimCroP)
        return self.module

    def batch(self, index: int) -> Pairs:
        """The frames, sentences and masked reports of one micro-batch."""
        size = self._settings.micro_batch
        return self._assembled(self.source, range(index * size, (index + 1) * size))

    def counts(self, batch: Pairs) -> dict[str, int]:
        """Patches, reports with two distinct sentences or more, and word pieces to fill in."""
        patches = self.config.vision.tokens
        if self.config.mim_on == "masked":
            patches -= batch.keep_BK.shape[1]
        counts = {"image": len(batch.keep_BK) * patches}
        if self.config.use_align:
            distinct_BS = distinct(batch.identities_BS)
            if self.config.negatives == "report":
                counts["alignment"] = int((distinct_BS.sum(dim=1) >= 2).sum())
            else:
                total = int(distinct_BS.sum())
                counts["alignment"] = total if total >= 2 else 0
        if self.config.use_report:
            counts["report"] = int((batch.labels_BT != NOT_A_TARGET).sum())
        return counts

    def totals(self, batch: Pairs) -> dict[str, Tensor]:
        """The sums of the losses, by the paper's names: masked image, alignment, masked report."""
        return {name: loss.total for name, loss in self.network(self.shown(batch)).items()}

    def measure(self) -> dict[str, float]:
        """On held-out samples hits, sides and separation with all patches visible; on held-out scans the losses."""
        return {**self._measured_regions(), **self._measured_losses()}

    def view(self) -> View | None:
        """One frame as it is seen and filled in, the patches of one sentence, and how alike regions are."""
        source = self._validation or self.source
        size = min(self._settings.micro_batch, source.pairs)
        batch = self._assembled(source, range(size))
        return view_of(self.network, self.shown(batch))

    def grounding_model(self) -> GroundingModel:
        """What was learned, as the network behind `ground`."""
        return self.network.grounding_model(self.frame, self.top_k)

    def shown(self, batch: Pairs) -> PretrainingBatch:
        """A micro-batch as the network wants it: HU become intensities, on the network's device and in its type."""
        weight = self.network.vision.patch_embed.proj.weight
        images_B1HWD = frames_of(batch.images_BHWD, self.frame.hu_window, self.config.vision.image)
        return PretrainingBatch(
            images_B1HWD.to(weight.dtype),
            batch.keep_BK,
            batch.sentences_BSC.to(weight.dtype),
            batch.identities_BS,
            batch.report_BT,
            batch.attended_BT,
            batch.labels_BT,
        )

    def _assembled(self, source: Source, ordinals: range) -> Pairs:
        pairs = [source.pair(ordinal) for ordinal in ordinals]
        chosen = [self._chosen(pair, ordinal) for pair, ordinal in zip(pairs, ordinals, strict=True)]
        tokens = self.config.vision.tokens
        noise_BN = torch.stack([self._noise(tokens, ordinal, _HIDDEN_PATCHES) for ordinal in ordinals])
        report_BT, attended_BT, labels_BT = self._masker.masked(
            [(pair.findings, pair.impression) for pair in pairs],
            [self._noise(self._settings.report_tokens, ordinal, _HIDDEN_WORDS).numpy() for ordinal in ordinals],
        )
        widest = max(1, *map(len, chosen))
        embeddings_BSC = torch.zeros(len(pairs), widest, self.config.text.dim)
        identities_BS = torch.full((len(pairs), widest), _PADDING)
        numbers: dict[str, int] = {}
        for b, (pair, rows) in enumerate(zip(pairs, chosen, strict=True)):
            embeddings_BSC[b, : len(rows)] = torch.from_numpy(pair.embeddings_SC[rows])
            names = [numbers.setdefault(pair.sentences[row], len(numbers)) for row in rows]
            identities_BS[b, : len(rows)] = torch.tensor(names, dtype=torch.long)
        return Pairs(
            torch.from_numpy(np.stack([pair.image for pair in pairs])),
            keep_indices(noise_BN, visible_count(tokens, self.config.mask_ratio)),
            embeddings_BSC,
            identities_BS,
            report_BT,
            attended_BT,
            labels_BT,
        )

    def _chosen(self, pair: Pair, ordinal: int) -> list[int]:
        """Rows of the sentences that take part: all, or so many at random."""
        rows = draws(self._seed, ordinal, _CHOSEN_SENTENCES).permutation(len(pair.sentences))
        return sorted(rows[: self._settings.sentences].tolist())

    def _noise(self, count: int, ordinal: int, purpose: int) -> Tensor:
        return torch.from_numpy(draws(self._seed, ordinal, purpose).random(count, dtype=np.float32))

    def _measured_regions(self) -> dict[str, float]:
        if not self._held_out:
            return {}
        model = self.grounding_model().eval()
        grid = self.config.vision.grid
        device = next(model.parameters()).device
        answers = []
        for path in self._held_out:
            sample = load_sample(path)
            image = intensities(sample.image, self.frame.hu_window, self.config.vision.image).to(device)
            features_NC = nn.functional.normalize(model.encode(image[None])[0].float(), dim=1)
            words = torch.from_numpy(np.stack([self._embeddings[t.text] for t in sample.truths])).to(device)
            words_SC = nn.functional.normalize(model.project(words).float(), dim=1)
            cosine_SN = (words_SC @ features_NC.T).float()
            answers += [
                Answer(truth, cosine_N, patch_shares(truth, grid), grid)
                for truth, cosine_N in zip(sample.truths, cosine_SN.cpu().numpy(), strict=True)
            ]
        return summarise(answers)

    def _measured_losses(self) -> dict[str, float]:
        if self._validation is None:
            return {}
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        size = self._settings.micro_batch
        for first in range(0, self._validation.pairs - size + 1, size):
            batch = self._assembled(self._validation, range(first, first + size))
            for name, count in self.counts(batch).items():
                counts[name] = counts.get(name, 0) + count
            for name, total in self.totals(batch).items():
                sums[name] = sums.get(name, 0.0) + float(total)
        return {name: total / max(counts[name], 1) for name, total in sums.items()}
