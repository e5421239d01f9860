"""What methods that learn from scans with reports share: frames, hidden patches, sentences and words of a step."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.masking import keep_indices, visible_count
from simcrop_core.models.state import load_exactly
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.text.bert import Bert
from simcrop_core.text.encoder import load_bert
from simcrop_training.data.frames import frames_of
from simcrop_training.data.source import Pair, Source, draws
from simcrop_training.engine.loader import moved
from simcrop_training.engine.objective import Contrast, Rows, View
from simcrop_training.objectives.masked_reports import ReportMasker

_PADDING = -1
# Sentences are padded to a multiple of so many (see `masked_reports`).
_WIDTHS = 8
_VISION = "vision."
# What random numbers are for; a source uses 0, a method numbers from 10.
_HIDDEN_PATCHES, _CHOSEN_SENTENCES, _HIDDEN_WORDS = 1, 2, 3


@dataclass(frozen=True, slots=True)
class PairSettings:
    """How a step shows its scans and reports.

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
class PairData:
    """What a method learns from and is measured on.

    Attributes:
        frame: what a stored image is shown as.
        source: of scans with reports.
        held_out: stored samples to measure regions on; may be empty.
        validation: scans with reports to measure the losses on, or None.
        embeddings: of the sentences in `held_out`, (text width,).
        top_k: patches that make a region when all are visible, while measuring.
    """

    frame: FrameConfig
    source: Source
    held_out: Sequence[Path] = ()
    validation: Source | None = None
    embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    top_k: int = 8


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """A micro-batch.

    Attributes:
        images_BHWD: int16 HU, a frame of the model or a multiple of it.
        keep_BK: indices of the visible patches, rising.
        sentences_BSC: embeddings of the report's sentences, padded.
        identities_BS: one number a sentence, the same for the same text in this micro-batch; −1 for padding.
        words_BT: word pieces of the report.
        report_BT: the same with hidden words behind [MASK].
        attended_BT: true where there is a word piece, false for padding.
        labels_BT: the pieces to fill in, −100 elsewhere.
        reports_B: a number a report, the same for the same text anywhere.
    """

    images_BHWD: Tensor
    keep_BK: Tensor
    sentences_BSC: Tensor
    identities_BS: Tensor
    words_BT: Tensor
    report_BT: Tensor
    attended_BT: Tensor
    labels_BT: Tensor
    reports_B: Tensor


class PairObjective(ABC):
    """A method on scans with reports (see `engine.objective.Objective`); a subclass adds the network and its losses.

    Every draw is a function of (seed, ordinal of the frame in the run) alone: order, crop and change by the source,
    hidden patches, chosen sentences and hidden words here.

    Args:
        config: of the network.
        data: to learn from and to measure on.
        settings: of the method.
        seed: of initialisation and masks.

    Attributes:
        reconstruction: whether the method is rebuilt from a text that leaves much open, which every table says.
        remark: sentences that go with the weights, behind what they were trained on.
        needs_organs: whether it needs label maps, so that a store's scans without one are passed over.
    """

    reconstruction: ClassVar[bool] = False
    remark: str = ""
    needs_organs: ClassVar[bool] = False
    module: nn.Module
    weights: Mapping[str, float] = MappingProxyType({})

    def __init__(self, config: PretrainingConfig, data: PairData, settings: PairSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.config, self.data, self.seed = config, data, seed
        self.tokenizer, bert = load_bert(config.text)
        self.masker = ReportMasker(self.tokenizer, config, settings.report_tokens)
        self._settings = settings
        self.samples = settings.batch
        self.micro_batches = settings.batch // settings.micro_batch
        self.sample_bytes = data.source.pair_bytes
        self.sample_flops = 0.0
        self.module = self.network_of(bert)

    @abstractmethod
    def network_of(self, bert: Bert, /) -> nn.Module:
        """What is trained. Its image encoder is the attribute `vision`."""

    def counts(self, _batch: Pairs, /) -> dict[str, int]:
        """See `Objective`; nothing, where all that is learned is a comparison of the step's samples."""
        return {}

    def totals(self, _batch: Pairs, /) -> dict[str, Tensor]:
        """See `Objective`; nothing, where all that is learned is a comparison of the step's samples."""
        return {}

    @property
    def vision(self) -> VisionTransformer:
        """The image encoder, which all methods share."""
        vision = self.module.vision
        assert isinstance(vision, VisionTransformer)
        return vision

    def batch(self, index: int) -> Pairs:
        """The frames, sentences and reports of one micro-batch."""
        size = self._settings.micro_batch
        return self.assembled(self.data.source, range(index * size, (index + 1) * size))

    def assembled(self, source: Source, ordinals: range) -> Pairs:
        """The pairs at these places of the run, side by side."""
        return self.side_by_side([source.pair(ordinal) for ordinal in ordinals], ordinals)

    def side_by_side(self, pairs: Sequence[Pair], ordinals: range) -> Pairs:
        """The same from pairs that were read; a method that needs more of them adds it here."""
        sentences_BSC, identities_BS = self._sentences(pairs, ordinals)
        tokens = self.config.vision.tokens
        noise_BN = torch.stack([self._noise(tokens, ordinal, _HIDDEN_PATCHES) for ordinal in ordinals])
        masked = self.masker.masked(
            [(pair.findings, pair.impression) for pair in pairs],
            [self._noise(self._settings.report_tokens, ordinal, _HIDDEN_WORDS).numpy() for ordinal in ordinals],
        )
        return Pairs(
            torch.from_numpy(np.stack([pair.image for pair in pairs])),
            keep_indices(noise_BN, visible_count(tokens, self.config.mask_ratio)),
            sentences_BSC,
            identities_BS,
            masked.words_BT,
            masked.report_BT,
            masked.attended_BT,
            masked.labels_BT,
            torch.tensor([number_of(pair.findings + "\n" + pair.impression) for pair in pairs]),
        )

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.vision.patch_embed.proj.weight.device

    def placed(self, batch: Pairs) -> Pairs:
        """A micro-batch where the network is, for what the loop does not bring there."""
        placed: Pairs = moved(batch, self.device)
        return placed

    def frames(self, batch: Pairs) -> Tensor:
        """(B, 1, H, W, D) intensities of −1…1 in the network's type."""
        weight = self.vision.patch_embed.proj.weight
        frames_B1HWD = frames_of(batch.images_BHWD, self.data.frame.hu_window, self.config.vision.image)
        return frames_B1HWD.to(weight.dtype)

    def flat_state_dict(self) -> dict[str, Tensor]:
        """What was learned by the names it has in a weights file: the image encoder's at the root, for all methods.

        What is frozen, such as a text encoder, comes from where it came from.
        """
        frozen = {name for name, parameter in self.module.named_parameters() if not parameter.requires_grad}
        tensors = self.module.state_dict()
        return {key.removeprefix(_VISION): tensor for key, tensor in tensors.items() if key not in frozen}

    def load_flat_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what `flat_state_dict` gave; position tables may be missing, for they follow from the configuration.

        Raises:
            IncompatibleWeights: a key is missing or unexpected, or a shape disagrees; nothing was taken.
        """
        own = {key.removeprefix(_VISION): key for key in self.module.state_dict()}
        tables = {key for key in own.values() if key.endswith("pos_embed")}
        kept = {key for name, key in own.items() if name not in self.flat_state_dict()} | tables
        load_exactly(self.module, {own.get(key, key): tensor for key, tensor in state.items()}, optional=kept)

    def measure(self) -> dict[str, float]:
        """The losses on held-out scans."""
        validation = self.data.validation
        if validation is None:
            return {}
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        rows: list[Rows] = []
        size = self._settings.micro_batch
        for first in range(0, validation.pairs - size + 1, size):
            batch = self.placed(self.assembled(validation, range(first, first + size)))
            for name, count in self.counts(batch).items():
                counts[name] = counts.get(name, 0) + count
            for name, total in self.totals(batch).items():
                sums[name] = sums.get(name, 0.0) + float(total)
            if isinstance(self, Contrast):
                rows.append(self.rows(batch))
        losses = {name: total / max(counts[name], 1) for name, total in sums.items()}
        if rows and isinstance(self, Contrast):
            with torch.autocast(self.device.type, enabled=False):
                losses |= {name: float(loss) for name, loss in self.compared(rows).items()}
        return losses

    def view(self) -> View | None:
        """None; a method with something to show says what."""
        return None

    def _sentences(self, pairs: Sequence[Pair], ordinals: range) -> tuple[Tensor, Tensor]:
        chosen = [self._chosen(pair, ordinal) for pair, ordinal in zip(pairs, ordinals, strict=True)]
        widest = min(-(-max(1, *map(len, chosen)) // _WIDTHS) * _WIDTHS, self._settings.sentences)
        embeddings_BSC = torch.zeros(len(pairs), widest, self.config.text.dim)
        identities_BS = torch.full((len(pairs), widest), _PADDING)
        numbers: dict[str, int] = {}
        for b, (pair, rows) in enumerate(zip(pairs, chosen, strict=True)):
            embeddings_BSC[b, : len(rows)] = torch.from_numpy(pair.embeddings_SC[rows])
            names = [numbers.setdefault(pair.sentences[row], len(numbers)) for row in rows]
            identities_BS[b, : len(rows)] = torch.tensor(names, dtype=torch.long)
        return embeddings_BSC, identities_BS

    def _chosen(self, pair: Pair, ordinal: int) -> list[int]:
        """Rows of the sentences that take part: all, or so many at random."""
        rows = draws(self.seed, ordinal, _CHOSEN_SENTENCES).permutation(len(pair.sentences))
        return sorted(rows[: self._settings.sentences].tolist())

    def _noise(self, count: int, ordinal: int, purpose: int) -> Tensor:
        return torch.from_numpy(draws(self.seed, ordinal, purpose).random(count, dtype=np.float32))


def number_of(text: str) -> int:
    """A number for a text, the same on every machine, as a tensor can hold it."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)
