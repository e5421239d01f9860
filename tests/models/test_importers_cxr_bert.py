"""A BERT folder becomes a sentence encoder of safetensors and settings, with none of the folder's code."""

from __future__ import annotations

import json

import pytest
import torch
from checkpoints import encoder_state
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, BertModel

from simcrop_core.errors import CannotWrite, IncompatibleWeights, UnknownWeights, UnsafeWeights
from simcrop_core.models.config import TextConfig
from simcrop_core.models.importers.cxr_bert import import_cxr_bert
from simcrop_core.models.importers.install import import_weights
from simcrop_core.models.manifest import checksums_of, read_manifest
from simcrop_core.models.registry import resolve_weights
from simcrop_core.models.verify import verify_weights
from simcrop_core.models.weights import load_grounding_model
from simcrop_core.models.weights_file import load_tensors
from simcrop_core.text.encoder import load_text_encoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "pleural", "effusion", "nodule", "##s", "left", "."]
LAYER_WEIGHT = "bert.encoder.layer.1.output.dense.weight"
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 32,
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return BertForMaskedLM(BertConfig(**SIZES)).eval()


def published(path, network):
    """As CXR-BERT is: a pickle, a model type and a tokenizer class of its own, and code to run them."""
    path.mkdir()
    state = {
        **network.state_dict(),
        "bert.embeddings.position_ids": torch.arange(32)[None],
        "cls_projection_head.dense_to_hidden.weight": torch.ones(8, 192),
    }
    torch.save(state, path / "pytorch_model.bin")
    code = {"auto_map": {"AutoModel": "modelling.CXRBertModel"}, "model_type": "cxr-bert"}
    (path / "config.json").write_text(json.dumps({**network.config.to_dict(), **code}))
    (path / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "tokenizer_class": "CXRBertTokenizer", "auto_map": {"AutoTokenizer": ["x"]}})
    )
    (path / "vocab.txt").write_text("\n".join(WORDS))
    (path / "modelling.py").write_text("raise SystemExit('run')")
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory, network):
    """The published folder, imported."""
    root = tmp_path_factory.mktemp("cxr-bert")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMCROP_HOME", str(root / "home"))
        return import_weights(published(root / "published", network), name="words")


@pytest.fixture
def folder(tmp_path, network):
    """The same with a bare encoder in safetensors, which need no process of their own."""
    path = published(tmp_path / "published", network)
    as_safetensors(path, network.bert.state_dict())
    return path


def as_safetensors(folder, state):
    (folder / "pytorch_model.bin").unlink(missing_ok=True)
    save_file({key: tensor.clone().contiguous() for key, tensor in state.items()}, folder / "model.safetensors")


def test_the_imported_encoder_embeds_as_the_original(installed, network):
    encoder = load_text_encoder(TextConfig(encoder=str(installed.folder.text), dim=192, pooling="cls"))
    ids = torch.tensor([[WORDS.index(word) for word in ("[CLS]", "no", "pleural", "effusion", "##s", ".", "[SEP]")]])
    with torch.no_grad():
        expected = network.bert(input_ids=ids).last_hidden_state[:, 0]
    assert torch.allclose(encoder.encode(["No pleural effusions."]), expected, atol=1e-5)


def test_hugging_face_loads_the_imported_folder_without_its_code(installed, network):
    text = installed.folder.text
    model = BertModel.from_pretrained(text, local_files_only=True, add_pooling_layer=False)
    assert torch.equal(model.state_dict()["encoder.layer.1.output.dense.weight"], layer_weight(network))
    assert {path.name for path in text.iterdir()} == {
        "model.safetensors",
        "config.json",
        "vocab.txt",
        "tokenizer_config.json",
    }
    settings = [(text / name).read_text() for name in ("config.json", "tokenizer_config.json")]
    assert not any("auto_map" in content or "CXRBert" in content for content in settings)


def layer_weight(network):
    return network.bert.encoder.layer[1].output.dense.weight


def test_heads_and_buffers_are_reported_as_left_out(installed):
    (report,) = installed.reports
    assert "bert.embeddings.position_ids" in report.unexpected
    assert "cls_projection_head.dense_to_hidden.weight" in report.unexpected
    assert "cls.predictions.bias" in report.unexpected
    assert all(key.startswith("bert.") for key in report.loaded)
    assert len(report.loaded) == 5 + 2 * 16
    assert report.missing == ()


def test_a_bare_encoder_in_safetensors_is_taken_too(folder, network):
    text = import_cxr_bert(folder)
    assert torch.equal(text.tensors[LAYER_WEIGHT], layer_weight(network))


def test_a_missing_tensor_is_an_error(folder, network):
    state = network.bert.state_dict()
    del state["encoder.layer.1.attention.self.key.bias"]
    as_safetensors(folder, state)
    with pytest.raises(IncompatibleWeights, match=r"layer\.1\.attention\.self\.key\.bias"):
        import_cxr_bert(folder)


def test_folders_that_are_no_sentence_encoder_are_refused_by_name(folder, tmp_path):
    (folder / "vocab.txt").unlink()
    with pytest.raises(UnknownWeights, match=r"vocab\.txt"):
        import_cxr_bert(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", **SIZES}))
    with pytest.raises(IncompatibleWeights, match="BERT"):
        import_cxr_bert(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(UnknownWeights, match=r"config\.json"):
        import_cxr_bert(folder)
    with pytest.raises(UnknownWeights):
        import_cxr_bert(tmp_path / "absent")


def test_a_hostile_pickle_in_the_folder_is_refused(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"bert": print}, folder / "pytorch_model.bin")
    with pytest.raises(UnsafeWeights, match="print"):
        import_cxr_bert(folder)


def test_encoder_and_sentence_encoder_go_together_in_one_set(folder, tmp_path, network):
    """With --text in one go, or one after the other: a set that grounds."""
    save_file(encoder_state(), tmp_path / "simcrop.safetensors")
    together = import_weights(tmp_path / "simcrop.safetensors", name="one", text=folder)
    assert [report.format for report in together.reports] == ["simcrop", "cxr-bert"]
    import_weights(folder, name="two")
    grown = import_weights(tmp_path / "simcrop.safetensors", name="two").folder
    for weights in (together.folder, grown):
        assert weights.text is not None
        model, metadata, _ = load_grounding_model(weights)
        encoder = load_text_encoder(TextConfig(encoder=str(weights.text), dim=metadata.config.text.dim))
        assert model.project(encoder.encode(["Left nodule."])).shape == (1, 192)
        checks = verify_weights(weights, reference_sha256="")
        assert all(check.passed is not False for check in checks)
        assert sum(check.what == "sha256" and check.passed is True for check in checks) == 5


def test_a_sentence_encoder_of_another_width_does_not_join_a_set(folder, tmp_path, network):
    save_file(encoder_state(dim=128), tmp_path / "narrow.safetensors")
    with pytest.raises(IncompatibleWeights, match="128 wide"):
        import_weights(tmp_path / "narrow.safetensors", name="narrow", text=folder)
    save_file(encoder_state(), tmp_path / "simcrop.safetensors")
    import_weights(tmp_path / "simcrop.safetensors", name="set", text=folder)
    config = json.loads((folder / "config.json").read_text())
    narrow = BertModel(BertConfig(**{**SIZES, "hidden_size": 64}), add_pooling_layer=False)
    save_file(narrow.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    with pytest.raises(IncompatibleWeights, match="64 wide"):
        import_weights(folder, name="set", replace=True)
    assert json.loads((resolve_weights("set").text / "config.json").read_text())["hidden_size"] == 192


def test_a_second_sentence_encoder_needs_to_be_asked_for(folder, network):
    import_weights(folder, name="words")
    as_safetensors(folder, {key: 2 * tensor for key, tensor in network.bert.state_dict().items()})
    with pytest.raises(CannotWrite, match="already have text"):
        import_weights(folder, name="words")
    text = import_weights(folder, name="words", replace=True).folder.text
    assert torch.equal(load_tensors(text / "model.safetensors")[LAYER_WEIGHT], 2 * layer_weight(network))
    assert checksums_of(text.parent) == read_manifest(text.parent)
