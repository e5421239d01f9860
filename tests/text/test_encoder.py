"""The text towers against transformers' own forward, on small random models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizerFast, DistilBertConfig, DistilBertModel

from simcrop_core.errors import DownloadFailed, IncompatibleWeights, UnknownWeights
from simcrop_core.models.config import TextConfig
from simcrop_core.text.bert import BertConfig as OurBertConfig
from simcrop_core.text.bert import bert_from_hugging_face
from simcrop_core.text.encoder import load_text_encoder

_WORDS = [
    "no",
    "pleural",
    "effusion",
    "nodule",
    "in",
    "the",
    "right",
    "left",
    "upper",
    "lower",
    "lobe",
    "lingula",
    "mass",
]
_WORDS += ["of", "is", "seen", ".", ",", "mm", "6", "##s", "##ar"]
_SENTENCES = [
    "No pleural effusion.",
    "Nodule in the LINGULA.",
    "Masses, 6 mm, in the right upper lobe.",
    "Éffusion?",
    "mass",
]


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS]), encoding="utf-8")
    return path


@pytest.fixture
def toy_bert(tmp_path, vocabulary):
    """A function that saves a random two-layer BERT of a class beside its vocabulary, and gives the model back."""

    def save(kind=BertModel, **settings):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(_WORDS) + 5,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=40,
            **settings,
        )
        model = kind(config).eval()
        model.save_pretrained(tmp_path)
        return model

    return save


def _reference(model, vocabulary: Path, pooling: str, max_tokens: int) -> torch.Tensor:
    """Transformers' own tokenizer and network, one sentence at a time."""
    tokenizer = BertTokenizerFast(vocab_file=str(vocabulary), vocab=str(vocabulary), do_lower_case=True)
    rows = []
    for sentence in _SENTENCES:
        ids = tokenizer(sentence, return_tensors="pt", truncation=True, max_length=max_tokens)
        with torch.no_grad():
            hidden = model(**ids, output_hidden_states=True).hidden_states[-1][0]
        rows.append(hidden[0] if pooling == "cls" else hidden.mean(dim=0))
    return torch.stack(rows)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("kind", [BertModel, BertForMaskedLM])
@pytest.mark.parametrize("max_tokens", [64, 5])
def test_a_bert_folder_gives_what_transformers_gives(tmp_path, toy_bert, vocabulary, kind, pooling, max_tokens):
    model = toy_bert(kind)
    encoder = load_text_encoder(TextConfig(encoder=str(tmp_path), dim=32, pooling=pooling, max_tokens=max_tokens))
    embeddings = encoder.encode(_SENTENCES)
    assert embeddings.shape == (5, 32)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings, _reference(model, vocabulary, pooling, max_tokens), atol=1e-5, rtol=0)


def test_cxr_bert_loads_as_the_plain_bert_it_is(tmp_path, toy_bert, vocabulary):
    """Its own model type, position ids and projection head are no obstacle, and its code is never run."""
    model = toy_bert(BertForMaskedLM)
    _edit_config(tmp_path, model_type="cxr-bert", auto_map={"AutoModel": "modeling_cxrbert.CXRBertModel"})
    (tmp_path / "modeling_cxrbert.py").write_text("raise SystemExit('the folder ran its own code')", encoding="utf-8")
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["bert.embeddings.position_ids"] = torch.arange(40)[None]
    tensors["cls_projection_head.dense_to_hidden.weight"] = torch.zeros(8, 32)
    save_file(tensors, tmp_path / "model.safetensors")
    embeddings = load_text_encoder(TextConfig(encoder=str(tmp_path), dim=32)).encode(_SENTENCES)
    torch.testing.assert_close(embeddings, _reference(model, vocabulary, "cls", 64), atol=1e-5, rtol=0)


def test_norms_named_as_in_tensorflow_are_read(tmp_path, toy_bert, vocabulary):
    model = toy_bert()
    tensors = load_file(tmp_path / "model.safetensors")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for name in list(tensors):
        for modern, earlier in old.items():
            if name.endswith(modern):
                tensors[name.replace(modern, earlier)] = tensors.pop(name)
    save_file(tensors, tmp_path / "model.safetensors")
    embeddings = load_text_encoder(TextConfig(encoder=str(tmp_path), dim=32)).encode(_SENTENCES)
    torch.testing.assert_close(embeddings, _reference(model, vocabulary, "cls", 64), atol=1e-5, rtol=0)


def test_another_architecture_goes_through_transformers(tmp_path, vocabulary):
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=len(_WORDS) + 5, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    model = DistilBertModel(config).eval()
    model.save_pretrained(tmp_path)
    BertTokenizerFast(vocab_file=str(vocabulary), vocab=str(vocabulary)).save_pretrained(tmp_path)
    _edit_config(tmp_path, hidden_size=32)
    tokenizer = BertTokenizerFast.from_pretrained(tmp_path)
    encoder = load_text_encoder(TextConfig(encoder=str(tmp_path), dim=32, pooling="mean"))
    for sentence, embedding in zip(_SENTENCES, encoder.encode(_SENTENCES), strict=True):
        with torch.no_grad():
            ids = tokenizer(sentence, return_tensors="pt")["input_ids"]
            expected = model(input_ids=ids).last_hidden_state[0].mean(dim=0)
        torch.testing.assert_close(embedding, expected, atol=1e-5, rtol=0)


def test_padding_is_not_attended(tmp_path, toy_bert):
    toy_bert()
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    network = bert_from_hugging_face(OurBertConfig.from_hugging_face(config), load_file(tmp_path / "model.safetensors"))
    ids = torch.tensor([[2, 7, 8, 3]])
    padded = torch.tensor([[2, 7, 8, 3, 0, 0]])
    masked = network(padded, torch.tensor([[1, 1, 1, 1, 0, 0]]))
    torch.testing.assert_close(masked[:, :4], network(ids), atol=1e-5, rtol=0)


def test_the_tower_is_frozen_and_says_the_same_twice(tmp_path, toy_bert):
    toy_bert(hidden_dropout_prob=0.5)
    encoder = load_text_encoder(TextConfig(encoder=str(tmp_path), dim=32))
    first, second = encoder.encode(_SENTENCES), encoder.encode(_SENTENCES)
    assert torch.equal(first, second)
    assert not first.requires_grad


def test_an_embedding_does_not_depend_on_its_company(tmp_path, toy_bert):
    toy_bert()
    encoder = load_text_encoder(TextConfig(encoder=str(tmp_path), dim=32, pooling="mean"))
    together = encoder.encode(_SENTENCES * 30)
    alone = torch.cat([encoder.encode([sentence]) for sentence in _SENTENCES]).repeat(30, 1)
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    assert encoder.encode([]).shape == (0, 32)


def test_a_folder_with_pickled_weights_only_is_sent_to_the_importer(tmp_path, toy_bert):
    toy_bert()
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UnknownWeights) as fault:
        load_text_encoder(TextConfig(encoder=str(tmp_path), dim=32))
    assert "simcrop weights import" in fault.value.hint


def test_a_missing_tensor_is_named(tmp_path, toy_bert):
    toy_bert()
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(IncompatibleWeights, match=r"layer\.1\.output\.dense\.weight"):
        load_text_encoder(TextConfig(encoder=str(tmp_path), dim=32))


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda folder: (folder / "vocab.txt").unlink(), UnknownWeights),
        (lambda folder: (folder / "config.json").unlink(), UnknownWeights),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), UnknownWeights),
        (lambda folder: _edit_config(folder, intermediate_size=65), IncompatibleWeights),
        (lambda folder: _edit_config(folder, model_type="no-such-type"), IncompatibleWeights),
    ],
)
def test_a_broken_folder_is_refused_by_name(tmp_path, toy_bert, damage, error):
    toy_bert()
    damage(tmp_path)
    with pytest.raises(error):
        load_text_encoder(TextConfig(encoder=str(tmp_path), dim=32))


def test_a_tower_of_another_width_is_refused(tmp_path, toy_bert):
    toy_bert()
    with pytest.raises(IncompatibleWeights, match="32 wide"):
        load_text_encoder(TextConfig(encoder=str(tmp_path), dim=768))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UnknownWeights, match="no text model folder"):
        load_text_encoder(TextConfig(encoder=str(tmp_path / "a" / "b")))


_FIND = "import sys; from simcrop_core.text.hub import find_text_model; print(find_text_model(sys.argv[1]))"


def _find_offline(name: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads these settings once, when it is imported."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    return subprocess.run(
        [sys.executable, "-c", _FIND, name], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_hub_model_in_the_cache_is_found_without_a_connection(tmp_path, toy_bert):
    toy_bert()
    snapshot = tmp_path / "cache" / "models--owner--model" / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123abcd", encoding="utf-8")
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        (tmp_path / name).rename(snapshot / name)
    found = _find_offline("owner/model", tmp_path / "cache")
    assert Path(found.stdout.strip()) == snapshot, found.stderr


def test_a_hub_model_out_of_reach_says_how_to_get_it(tmp_path):
    found = _find_offline("owner/model", tmp_path)
    assert DownloadFailed.__name__ in found.stderr
    assert "could not be reached" in found.stderr


def _edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
