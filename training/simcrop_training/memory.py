"""What a step of pre-training keeps in memory, counted: it needs no GPU and no text encoder's weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.masking import NOT_A_TARGET, keep_indices, visible_count
from simcrop_core.models.simcrop import PretrainingBatch, SimCroP
from simcrop_core.text.bert import Bert, BertConfig
from simcrop_training.engine.ordered_sum import OrderedSum
from simcrop_training.objectives.simcrop import TokenStates

# BERT-base, as CXR-BERT is, but for its width.
_BERT = BertConfig(
    vocabulary=30522, positions=512, dim=768, depth=12, heads=12, mlp_dim=3072, norm_eps=1e-12, segments=2
)
_FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class StepMemory:
    """Gigabytes (10⁹ bytes) of one process that computes its steps in exact order.

    Attributes:
        weights: of what is trained, float32, and of the frozen text encoder.
        gradients: of one micro-batch, which lie there until the next one's backward pass.
        sums: unfinished nodes of the step's ordered sum, at the worst micro-batch.
        moments: of AdamW.
        activations: kept for the backward pass of one micro-batch, bfloat16 where autocast has it.
    """

    weights: float
    gradients: float
    sums: float
    moments: float
    activations: float

    @property
    def total(self) -> float:
        """What is there at once at the end of a forward pass, or of its backward pass where that is more.

        By the end of the backward pass the activations are gone, and the gradient has its copy for the ordered sum.
        """
        return self.weights + self.gradients + self.sums + self.moments + max(self.activations, self.gradients)

    @property
    def left_out(self) -> str:
        """What else takes memory, in a sentence or two."""
        return (
            "Not counted: kernels' own work space, the allocator's losses, the data of micro-batches read ahead. "
            f"Processes that share a step exchange gradients at its end: about {6 * self.gradients:.1f} GB instead of "
            "gradients, sums and activations, which is less where activations are large."
        )


def step_memory(
    config: PretrainingConfig, *, micro_batch: int, report_tokens: int, sentences: int, micro_batches: int = 1
) -> StepMemory:
    """Count by running the forward pass of one micro-batch of noise on the CPU.

    Args:
        config: of the network; its text encoder is taken to be BERT-base, as wide as `config.report_dim`.
        micro_batch: frames computed at once.
        report_tokens: word pieces of every report.
        sentences: of every report.
        micro_batches: of a step, all of them on this process.
    """
    width = config.report_dim
    bert = Bert(dataclasses.replace(_BERT, dim=width, mlp_dim=4 * width))
    for parameter in bert.parameters():
        nn.init.normal_(parameter, std=0.02)
    network = SimCroP(config, TokenStates(bert))
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    activations = _kept_by_forward(network, _noise(config, micro_batch, report_tokens, sentences))
    return StepMemory(
        weights=(trained + frozen) * _FLOAT32 / 1e9,
        gradients=trained * _FLOAT32 / 1e9,
        sums=_most_nodes(micro_batches) * trained * _FLOAT32 / 1e9,
        moments=2 * trained * _FLOAT32 / 1e9,
        activations=activations / 1e9,
    )


def _most_nodes(micro_batches: int) -> int:
    """Nodes of the ordered sum that wait, at most, while a micro-batch is computed."""
    tree, most = OrderedSum(micro_batches), 0
    for leaf in range(micro_batches):
        most = max(most, len(tree.nodes))
        tree.add(leaf, torch.zeros(1))
    return most


def _kept_by_forward(network: SimCroP, batch: PretrainingBatch) -> int:
    """Bytes that the backward pass will read, each storage once, without the weights."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        losses = network(batch)
    bytes_kept = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert losses
    return bytes_kept


def _noise(config: PretrainingConfig, frames: int, report_tokens: int, sentences: int) -> PretrainingBatch:
    numbers = torch.Generator().manual_seed(0)
    tokens = config.vision.tokens
    report_BT = torch.randint(5, config.report_decoder.vocabulary, (frames, report_tokens), generator=numbers)
    asked_BT = torch.rand(frames, report_tokens, generator=numbers) < config.text_mask_ratio
    return PretrainingBatch(
        images_B1HWD=torch.rand(frames, 1, *config.vision.image, generator=numbers) * 2 - 1,
        keep_BK=keep_indices(torch.rand(frames, tokens, generator=numbers), visible_count(tokens, config.mask_ratio)),
        sentences_BSC=torch.randn(frames, sentences, config.text.dim, generator=numbers),
        identities_BS=torch.arange(frames * sentences).view(frames, sentences),
        report_BT=report_BT,
        attended_BT=torch.ones_like(report_BT, dtype=torch.bool),
        labels_BT=report_BT.masked_fill(~asked_BT, NOT_A_TARGET),
    )
