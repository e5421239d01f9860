"""Fusion of report and image, and the decoder of masked words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from narrow_pretraining import NARROW
from transformers import BertConfig, BertForMaskedLM

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.config import ReportDecoderConfig
from simcrop_core.models.fusion import Fusion, FusionLayer, fusion_for
from simcrop_core.models.report_decoder import ReportDecoder, VocabularyHead

TINY = NARROW
WIDTH = TINY.report_dim


@pytest.fixture
def report():
    torch.manual_seed(0)
    return torch.randn(2, 7, WIDTH)


@pytest.fixture
def patches():
    torch.manual_seed(1)
    return torch.randn(2, 16, WIDTH, requires_grad=True)


def fusion(mode="residual", **switches):
    torch.manual_seed(2)
    return Fusion(WIDTH, WIDTH, heads=2, mode=mode, dropout=0.1, **switches).eval()


def test_printed_fusion_is_attention_plus_mean(report, patches):
    """The attention itself against torch's own, with an output map of one."""
    ours = fusion("literal")
    reference = torch.nn.MultiheadAttention(WIDTH, 2, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        reference.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        reference.out_proj.weight.copy_(torch.eye(WIDTH))
    attention, _ = reference(report, patches, patches)
    mean = patches.mean(dim=1, keepdim=True)
    torch.testing.assert_close(ours(report, patches) - mean, attention, atol=1e-5, rtol=1e-4)


def test_residual_fusion_normalises_the_report_plus_what_it_drew(report, patches):
    ours = fusion()
    drawn = ours.word_features(report, patches) + patches.mean(dim=1, keepdim=True)
    expected = torch.nn.functional.layer_norm(report + ours.out(drawn), (WIDTH,))
    torch.testing.assert_close(ours(report, patches), expected, atol=1e-5, rtol=1e-4)


def test_without_words_every_position_gets_the_same(report, patches):
    drawn = fusion("literal", use_word=False)(report, patches)
    assert drawn.shape == report.shape
    torch.testing.assert_close(drawn, patches.mean(dim=1, keepdim=True).expand_as(report))


def test_without_the_instance_only_attention_is_left(report, patches):
    ours = fusion("literal", use_instance=False)
    torch.testing.assert_close(ours(report, patches), ours.word_features(report, patches))


def test_widths_that_differ_need_a_map_of_the_mean(report):
    with pytest.raises(ValueError, match="project_global"):
        Fusion(WIDTH, 30, heads=2, mode="residual", dropout=0.0)
    mapped = Fusion(WIDTH, 30, heads=2, mode="residual", dropout=0.0, project_global=True)
    assert mapped(report, torch.rand(2, 16, 30)).shape == report.shape


@pytest.mark.parametrize("mode", ["residual", "literal", "ecamp"])
def test_the_image_learns_through_every_fusion(report, patches, mode):
    layer = fusion_for(replace(TINY, fusion=mode))
    padding = torch.zeros(2, 7, dtype=torch.bool)
    fused = layer(report, patches, padding) if isinstance(layer, FusionLayer) else layer(report, patches)
    fused.square().sum().backward()
    assert (patches.grad.abs().sum(-1) > 0).all()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize("whole_layer", [False, True])
def test_padding_reaches_no_word(report, patches, whole_layer):
    padding = torch.tensor([[False] * 5 + [True] * 2] * 2)
    decoder = ReportDecoder(WIDTH, TINY.report_decoder).eval()
    layer = fusion_for(replace(TINY, fusion="ecamp")).eval()

    def states(text):
        return decoder(layer(text, patches, padding) if whole_layer else text, padding)[:, :5]

    changed = report.clone()
    changed[:, 5:] += 3.0
    torch.testing.assert_close(states(changed), states(report))
    changed[:, 4] += 3.0
    assert not torch.allclose(states(changed)[:, :4], states(report)[:, :4])


def test_a_bert_layer_is_berts():
    """One decoder layer with a BERT layer's tensors gives what Hugging Face's gives."""
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "num_attention_heads": 2, "intermediate_size": 96, "num_hidden_layers": 1}
    bert = BertForMaskedLM(BertConfig(vocab_size=64, **sizes)).bert.encoder.eval()
    state = bert.state_dict()
    decoder = ReportDecoder(WIDTH, ReportDecoderConfig(64, WIDTH, depth=1, heads=2, hidden=96)).eval()
    ours, theirs = decoder.layers[0], "layer.0."
    names = {"linear1": "intermediate.dense", "linear2": "output.dense", "self_attn.out_proj": "attention.output.dense"}
    names |= {"norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}
    tensors = {
        f"{own}.{kind}": state[f"{theirs}{name}.{kind}"] for own, name in names.items() for kind in ("weight", "bias")
    }
    for kind in ("weight", "bias"):
        parts = [state[f"{theirs}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        tensors[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
    ours.load_state_dict(tensors)
    states = torch.randn(2, 7, WIDTH)
    nothing_padded = torch.zeros(2, 7, dtype=torch.bool)
    torch.testing.assert_close(decoder(states, nothing_padded), bert(states).last_hidden_state, atol=1e-5, rtol=1e-4)


def test_the_head_can_start_from_berts():
    torch.manual_seed(0)
    config = BertConfig(vocab_size=64, hidden_size=48, num_hidden_layers=1, num_attention_heads=2)
    bert = BertForMaskedLM(config).eval()
    states = torch.randn(3, 48)
    for tied in (False, True):
        state = bert.state_dict()
        if tied:
            state.pop("cls.predictions.decoder.weight", None)
            state.pop("cls.predictions.decoder.bias", None)
        head = VocabularyHead(48, 64)
        head.copy_predictions(state)
        torch.testing.assert_close(head(states), bert.cls(states))
    with pytest.raises(IncompatibleWeights, match=r"decoder\.weight"):
        VocabularyHead(48, 65).copy_predictions(bert.state_dict())
    with pytest.raises(IncompatibleWeights, match=r"missing.*dense\.weight"):
        VocabularyHead(48, 64).copy_predictions({})


def test_a_decoder_of_another_width_maps_the_report_first(report):
    decoder = ReportDecoder(WIDTH, replace(TINY.report_decoder, dim=32))
    assert decoder(report, torch.zeros(2, 7, dtype=torch.bool)).shape == (2, 7, 32)
