"""`simcrop weights list`, `import` and `verify` as they are typed."""

from __future__ import annotations

import json

import pytest
import torch
import tyro
from checkpoints import encoder_state
from safetensors.torch import save_file

from simcrop_core.cli.weights import WeightsImport, WeightsList, WeightsVerify
from simcrop_core.errors import UnknownWeights
from simcrop_core.models.checksum import sentences_sha256
from simcrop_core.models.presets import SEGMENTATION_PRESETS
from simcrop_core.models.registry import resolve_weights, weights_home
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.weights import Provenance, WeightsMetadata, save_weights, sha256_of
from simcrop_core.text.reference import reference_sentences


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def checkpoint(tmp_path):
    save_file(encoder_state(depth=1, dim=768), tmp_path / "simcrop.safetensors")
    return tmp_path / "simcrop.safetensors"


def run(command, *arguments):
    return tyro.cli(command, args=[str(argument) for argument in arguments]).run()


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def test_an_import_says_what_became_of_the_keys_and_what_the_licence_asks_for(checkpoint, capsys):
    assert run(WeightsImport, checkpoint, "--name", "official") == 0
    said = capsys.readouterr().out
    assert "loaded" in said
    assert "18" in said
    assert "CC BY-NC-SA 4.0" in said
    assert "the paper says 8" in said
    assert "--weights official" in said
    assert resolve_weights("official").grounding is not None


def test_import_list_and_verify_speak_json(checkpoint, capsys):
    run(WeightsImport, checkpoint, "--name", "official", "--json")
    imported = answer(capsys)
    assert imported["schema"] == "simcrop.weights-import/1"
    assert imported["reports"][0]["format"] == "simcrop"
    assert imported["reports"][0]["missing"] == []
    run(WeightsList, "--json")
    listed = answer(capsys)
    assert listed["schema"] == "simcrop.weights-list/1"
    (official,) = [weights for weights in listed["weights"] if weights["name"] == "official"]
    assert official == imported["weights"]
    assert official["grounding"]["sha256"] == sha256_of(resolve_weights("official").grounding)
    assert official["grounding"]["source_sha256"] == sha256_of(checkpoint)
    assert official["grounding"]["text_encoder"] == "microsoft/BiomedVLP-CXR-BERT-specialized"
    assert run(WeightsVerify, "official", "--json") == 0
    verified = answer(capsys)
    assert verified["schema"] == "simcrop.weights-verify/1"
    assert verified["sound"] is True


def test_the_list_shows_every_set_even_one_that_is_broken(checkpoint, capsys):
    run(WeightsImport, checkpoint, "--name", "official")
    config = SEGMENTATION_PRESETS["tiny"]
    metadata = WeightsMetadata("organs", config, Provenance("Apache-2.0", "phantoms", synthetic=True))
    save_weights(weights_home() / "organs" / "segmentation.safetensors", UNETR(config).state_dict(), metadata)
    (weights_home() / "torn").mkdir()
    (weights_home() / "torn" / "grounding.safetensors").write_bytes(b"torn")
    capsys.readouterr()
    assert run(WeightsList) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("official", "organs", "torn"))
    assert "phantoms (synthetic)" in said
    assert "not a whole safetensors file" in said
    assert str(weights_home()) in said.replace("\n", "")


def test_verify_exits_with_1_and_says_which_check_failed(checkpoint, capsys):
    run(WeightsImport, checkpoint, "--name", "official")
    file = resolve_weights("official").grounding
    content = bytearray(file.read_bytes())
    content[-1] ^= 255
    file.write_bytes(content)
    capsys.readouterr()
    assert run(WeightsVerify, "official") == 1
    said = capsys.readouterr().out
    assert "fail" in said
    assert "not sound" in said


def test_verify_compares_with_the_reference_sentences_of_this_version(tmp_path, capsys):
    from simcrop_core.models.grounding import GroundingModel
    from simcrop_core.models.presets import PRESETS

    model = GroundingModel(PRESETS["tiny"])
    tensors = model.flat_state_dict() | {"reference.embeddings": torch.zeros(500, model.width, dtype=torch.float16)}
    for sentences, code in ((reference_sentences(), 0), (reference_sentences()[1:], 1)):
        metadata = WeightsMetadata(
            "ours",
            PRESETS["tiny"],
            Provenance("Apache-2.0", "phantoms", synthetic=True),
            reference_sha256=sentences_sha256(sentences),
        )
        save_weights(tmp_path / "ours.safetensors", tensors, metadata)
        assert run(WeightsVerify, tmp_path / "ours.safetensors") == code
        assert "reference sentences" in capsys.readouterr().out


def test_faults_keep_their_names(tmp_path):
    with pytest.raises(UnknownWeights):
        run(WeightsImport, tmp_path / "absent.pth", "--name", "x")
    with pytest.raises(UnknownWeights):
        run(WeightsVerify, "absent")


def test_the_help_is_there(capsys):
    for command, words in ((WeightsImport, "released SimCroP"), (WeightsList, "licence"), (WeightsVerify, "sha256")):
        with pytest.raises(SystemExit) as leaving:
            run(command, "--help")
        assert leaving.value.code == 0
        assert words in capsys.readouterr().out
