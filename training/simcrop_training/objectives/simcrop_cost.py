"""How many floating-point operations pre-training takes, counted from the shapes of its matrix products."""

from __future__ import annotations

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.masking import visible_count

# A backward pass takes two products for every one of the forward pass; what is frozen has none.
_TRAINED, _FROZEN = 3.0, 1.0


def sample_flops(config: PretrainingConfig, report_tokens: int) -> float:
    """Operations for one frame and its report, forward and backward, a multiplication and an addition being two.

    Matrix products and attention are counted, nothing else: what model FLOPs utilisation is measured by. Blocks that
    are computed a second time to save memory count once. Sentence embeddings are cached and cost nothing.

    Args:
        config: of the network.
        report_tokens: word pieces of a report.
    """
    vision, decoder = config.vision, config.image_decoder
    visible = visible_count(vision.tokens, config.mask_ratio)
    cls = int(vision.cls_token)
    voxels = vision.patch[0] * vision.patch[1] * vision.patch[2]
    flops = 2.0 * visible * voxels * vision.dim
    flops += vision.depth * block_flops(visible + cls, vision.dim, vision.mlp_ratio * vision.dim)
    if config.use_align and config.align_on == "all":
        flops += 2.0 * vision.tokens * voxels * vision.dim
        flops += vision.depth * block_flops(vision.tokens + cls, vision.dim, vision.mlp_ratio * vision.dim)
    flops += 2.0 * (visible + cls) * vision.dim * decoder.dim
    flops += decoder.depth * block_flops(vision.tokens + cls, decoder.dim, decoder.mlp_ratio * decoder.dim)
    flops += 2.0 * vision.tokens * decoder.dim * voxels
    frozen = 0.0
    if config.use_report:
        flops += _report_flops(config, report_tokens, visible)
        # The text encoder is a BERT-base for the paper's widths; narrower ones have fewer layers, and are not the cost.
        frozen = 12 * block_flops(report_tokens, config.report_dim, 4 * config.report_dim)
    return _TRAINED * flops + (_FROZEN if config.freeze_text else _TRAINED) * frozen


def block_flops(tokens: int, dim: int, hidden: int) -> float:
    """Forward pass of one transformer block: four projections, two attention products, two linear layers."""
    return 2.0 * tokens * (4 * dim * dim + 2 * tokens * dim + 2 * dim * hidden)


def _report_flops(config: PretrainingConfig, tokens: int, visible: int) -> float:
    """Forward pass of fusion, report decoder and vocabulary head; the head sees only the hidden pieces."""
    text, vision, decoder = config.report_dim, config.vision.dim, config.report_decoder
    flops = 0.0
    if config.use_word:
        flops += 2.0 * (tokens * text * text + 2 * visible * vision * text + 2 * tokens * visible * text)
    flops += 2.0 * tokens * text * text
    flops += decoder.depth * block_flops(tokens, decoder.dim, decoder.hidden)
    asked = tokens * (config.text_mask_ratio if config.mlm_on == "masked" else 1.0)
    return flops + 2.0 * asked * decoder.dim * (decoder.dim + decoder.vocabulary)
