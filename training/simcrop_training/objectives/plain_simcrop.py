"""SimCroP's losses as one would first write them down: what the fast ones are checked and timed against.

Every patch is embedded by a convolution before most are thrown away, text is encoded anew in every step, reports are
gone through one by one, and so are their sentences. Same maths, same parameters, same draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from simcrop_core.models.fusion import Fusion
from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.models.patches import patch_vectors
from simcrop_core.models.simcrop import PretrainingBatch, SimCroP

Encode = Callable[[Sequence[str]], Tensor]


def plain_losses(
    network: SimCroP, batch: PretrainingBatch, sentences: Sequence[Sequence[str]], encode: Encode
) -> dict[str, Tensor]:
    """The three losses as means over the batch (paper Eq. 1, 4 and 6), with the default switches.

    Args:
        network: whose parameters are used.
        batch: as the network takes it; its sentence embeddings are not used.
        sentences: of each report, as text, in the order of the batch.
        encode: texts → (S, text width) embeddings.
    """
    tokens_BKC = _encoded(network, batch)
    visible_BKC = tokens_BKC[:, 1:]
    image = [_image_loss(network, batch, tokens_BKC, b) for b in range(len(tokens_BKC))]
    alignment = []
    for b, said in enumerate(sentences):
        different = list(dict.fromkeys(said))
        if len(different) >= 2:
            alignment.append(_alignment_loss(network, visible_BKC[b], encode(different)))
    report = [_report_loss(network, batch, visible_BKC, b) for b in range(len(tokens_BKC))]
    asked = int((batch.labels_BT != NOT_A_TARGET).sum())
    return {
        "image": torch.stack(image).mean(),
        "alignment": torch.stack(alignment).mean() if alignment else tokens_BKC.new_zeros(()),
        "report": torch.stack(report).sum() / max(asked, 1),
    }


def _encoded(network: SimCroP, batch: PretrainingBatch) -> Tensor:
    """Visible tokens through the encoder, the class token in front."""
    vision = network.vision
    proj = vision.patch_embed.proj
    every = F.conv3d(batch.images_B1HWD.to(proj.weight.dtype), proj.weight, proj.bias, stride=vision.config.patch)
    every_BNC = every.flatten(2).transpose(1, 2) + vision.pos_embed[:, 1:]
    kept = [every_BNC[b, keep_K] for b, keep_K in enumerate(batch.keep_BK)]
    cls = (vision.cls_token + vision.pos_embed[:, :1]).expand(len(kept), -1, -1)
    stream = torch.cat([cls, torch.stack(kept)], dim=1)
    for block in vision.blocks:
        stream = block(stream)
    return vision.final_norm(stream)


def _image_loss(network: SimCroP, batch: PretrainingBatch, tokens_BKC: Tensor, b: int) -> Tensor:
    """Mean over one frame's hidden patches of the mean squared error of their voxels."""
    decoder = network.image_decoder
    embedded = decoder.decoder_embed(tokens_BKC[b])
    keep_K = batch.keep_BK[b]
    grid = decoder.mask_token[0].to(embedded.dtype).repeat(network.config.vision.tokens, 1)
    grid[keep_K] = embedded[1:]
    stream = torch.cat([embedded[:1], grid])[None] + decoder.decoder_pos_embed
    for block in decoder.decoder_blocks:
        stream = block(stream)
    predicted_NP = decoder.decoder_pred(decoder.decoder_norm(stream[0, 1:]))
    target_NP = patch_vectors(batch.images_B1HWD[b : b + 1], network.config.vision.patch)[0]
    hidden_N = torch.ones(len(target_NP), dtype=torch.bool, device=target_NP.device)
    hidden_N[keep_K] = False
    return F.mse_loss(predicted_NP[hidden_N], target_NP[hidden_N])


def _alignment_loss(network: SimCroP, visible_KC: Tensor, embeddings_SC: Tensor) -> Tensor:
    """Cross-entropy of regions with sentences and of sentences with regions, summed, averaged over one report."""
    config = network.config
    patches = network.image_projection(visible_KC)
    sentences = network.text_projection(embeddings_SC.to(visible_KC.dtype))
    regions = []
    for sentence in sentences:
        similar_K = F.cosine_similarity(sentence[None], patches).detach()
        regions.append(patches[similar_K.argsort(descending=True)[: config.top_k]].mean(0))
    scores = torch.stack([F.cosine_similarity(region[None], sentences) / config.temperature for region in regions])
    own = torch.arange(len(regions), device=scores.device)
    return F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)


def _report_loss(network: SimCroP, batch: PretrainingBatch, visible_BKC: Tensor, b: int) -> Tensor:
    """Cross-entropy summed over one report's hidden word pieces; nothing is padded."""
    length = int(batch.attended_BT[b].sum())
    ids, labels = batch.report_BT[b : b + 1, :length], batch.labels_BT[b, :length]
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    states = network.bert_encoder(input_ids=ids, attention_mask=everywhere).last_hidden_state
    assert isinstance(network.fusion, Fusion)
    fused = network.fusion(states, visible_BKC[b : b + 1])
    scores = network.text_decoder.head(network.text_decoder(fused, ~everywhere)[0])
    return F.cross_entropy(scores, labels, ignore_index=NOT_A_TARGET, reduction="sum")
