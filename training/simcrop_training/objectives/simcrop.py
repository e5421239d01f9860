"""SimCroP's own pre-training: masked image, sentence alignment and masked report (paper Eq. 1 to 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn

from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.masking import keep_indices, mask_report, visible_count, words_of
from simcrop_core.models.simcrop import PretrainingBatch, SimCroP
from simcrop_core.text.bert import Bert
from simcrop_core.text.encoder import load_bert
from simcrop_core.text.sentences import split_sentences
from simcrop_training.data.augment import Augmentation, augmented
from simcrop_training.data.frames import intensities, patch_shares, picked
from simcrop_training.data.sample import load_sample
from simcrop_training.objectives.grounding_metrics import Answer, summarise

_PADDING = -1


@dataclass(frozen=True, slots=True)
class SimCroPSettings:
    """Attributes of the objective.

    Attributes:
        batch: frames a step.
        report_tokens: longer reports are cut.
        sentences: at most so many of each report, drawn at random.
    """

    batch: int = 4
    report_tokens: int = 256
    sentences: int = 48


@dataclass(frozen=True, slots=True)
class SimCroPStep:
    """A batch, and the seed of what the step itself draws (dropout)."""

    batch: PretrainingBatch
    seed: int


class TokenStates(nn.Module):
    """The project's BERT behind the call that the pre-training network makes."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        """(B, T) ids and mask → an object with `last_hidden_state`, (B, T, C)."""
        return SimpleNamespace(last_hidden_state=self.bert(input_ids, attention_mask))


class SimCroPPretraining:
    """The objective `simcrop` (see `engine.loop.Objective`); needs samples with reports.

    Args:
        config: of the network.
        frame: what a stored image is shown as.
        settings: of this objective.
        synthetic: stored samples with reports.
        held_out: stored samples to measure on.
        embeddings: of every sentence in them, (text width,).
        top_k: patches that make a region when all are visible, while measuring.
        seed: of initialisation, order, masks and dropout.
    """

    def __init__(
        self,
        config: PretrainingConfig,
        frame: FrameConfig,
        settings: SimCroPSettings,
        *,
        synthetic: Sequence[Path],
        held_out: Sequence[Path],
        embeddings: dict[str, Tensor],
        top_k: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self._tokenizer, bert = load_bert(config.text)
        self._tokenizer.enable_truncation(max_length=settings.report_tokens)
        self.network = SimCroP(config, TokenStates(bert))
        self.module: nn.Module = self.network
        self.config, self.frame, self.top_k = config, frame, top_k
        self._settings, self._seed = settings, seed
        self._synthetic, self._held_out = list(synthetic), list(held_out)
        self._embeddings = embeddings
        self._augmentation = augmentation or Augmentation()

    def batch(self, step: int) -> SimCroPStep:
        """The frames, sentences and masked reports of one step."""
        images, sentences, reports = [], [], []
        size = self._settings.batch
        for ordinal in range(step * size, (step + 1) * size):
            rng = np.random.default_rng([self._seed, ordinal])
            path = picked(ordinal, rng, synthetic=self._synthetic, real=(), real_rate=0.0, seed=self._seed)
            sample = augmented(load_sample(path), self._augmentation, rng)
            images.append(intensities(sample.image, self.frame.hu_window, self.config.vision.image))
            said = split_sentences(sample.report)
            sentences.append([said[i] for i in sorted(rng.permutation(len(said))[: self._settings.sentences])])
            reports.append(sample.report)
        noise = torch.Generator().manual_seed(int(np.random.default_rng([self._seed, step, 3]).integers(2**62)))
        return SimCroPStep(self._assembled(torch.stack(images), sentences, reports, noise), step)

    def losses(self, batch: SimCroPStep) -> dict[str, Tensor]:
        """The weighted sum and its parts, by the paper's names: masked image, alignment, masked report."""
        with torch.random.fork_rng([]):
            torch.manual_seed(np.random.default_rng([self._seed, batch.seed, 5]).integers(2**62).item())
            parts = self.network(batch.batch)
        return {"loss": self.network.combined(parts), **{name: part.mean for name, part in parts.items()}}

    def measure(self) -> dict[str, float]:
        """Hits, sides and separation on the held-out samples, with all patches visible."""
        model = self.grounding_model().eval()
        grid = self.config.vision.grid
        answers = []
        for path in self._held_out:
            sample = load_sample(path)
            image = intensities(sample.image, self.frame.hu_window, self.config.vision.image)
            features_NC = nn.functional.normalize(model.encode(image[None])[0].float(), dim=1)
            words = torch.stack([self._embeddings[t.text] for t in sample.truths])
            cosine_SN = nn.functional.normalize(model.project(words).float(), dim=1) @ features_NC.T
            answers += [
                Answer(truth, cosine_N, patch_shares(truth, grid), grid)
                for truth, cosine_N in zip(sample.truths, cosine_SN.numpy(), strict=True)
            ]
        return summarise(answers)

    def grounding_model(self) -> GroundingModel:
        """What was learned, as the network behind `ground`."""
        return self.network.grounding_model(self.frame, self.top_k)

    def _assembled(
        self, images_B1HWD: Tensor, sentences: list[list[str]], reports: list[str], noise: torch.Generator
    ) -> PretrainingBatch:
        tokens = self.config.vision.tokens
        keep_BK = keep_indices(
            torch.rand(len(reports), tokens, generator=noise), visible_count(tokens, self.config.mask_ratio)
        )
        numbers: dict[str, int] = {}
        widest = max(1, *map(len, sentences))
        embeddings_BSC = torch.zeros(len(reports), widest, self.config.text.dim)
        identities_BS = torch.full((len(reports), widest), _PADDING)
        for b, said in enumerate(sentences):
            for s, text in enumerate(said):
                embeddings_BSC[b, s] = self._embeddings[text]
                identities_BS[b, s] = numbers.setdefault(text, len(numbers))
        report_BT, attended_BT, labels_BT = masked_reports(self._tokenizer, reports, self.config, noise)
        return PretrainingBatch(images_B1HWD, keep_BK, embeddings_BSC, identities_BS, report_BT, attended_BT, labels_BT)


def masked_reports(
    tokenizer: Tokenizer, reports: list[str], config: PretrainingConfig, noise: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Reports as word pieces, three words in four hidden.

    Returns:
        (B, T) ids, (B, T) true where there is a piece, (B, T) the pieces to fill in and −100 elsewhere.
    """
    encoded: list[Encoding] = tokenizer.encode_batch(reports)
    longest = max(len(e.ids) for e in encoded)
    padding = _id_of(tokenizer, "[PAD]")
    ids_BT = torch.full((len(reports), longest), padding)
    continues_BT = torch.zeros(len(reports), longest, dtype=torch.bool)
    special_BT = torch.ones(len(reports), longest, dtype=torch.bool)
    for b, e in enumerate(encoded):
        ids_BT[b, : len(e.ids)] = torch.tensor(e.ids)
        continues_BT[b, : len(e.ids)] = torch.tensor([t.startswith("##") for t in e.tokens])
        special_BT[b, : len(e.ids)] = torch.tensor(e.special_tokens_mask, dtype=torch.bool)
    masked_BT, labels_BT = mask_report(
        ids_BT,
        words_of(continues_BT, special_BT),
        torch.rand(ids_BT.shape, generator=noise),
        ratio=config.text_mask_ratio,
        mask_id=_id_of(tokenizer, "[MASK]"),
        unit=config.text_mask_unit,
        targets=config.mlm_on,
    )
    return masked_BT, ids_BT != padding, labels_BT


def _id_of(tokenizer: Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    assert number is not None, f"every BERT vocabulary has {token}"
    return int(number)
