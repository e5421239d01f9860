"""OpenVINO's form of an image encoder gives what torch gives, is only used where it was made, and tells nobody."""

from __future__ import annotations

import dataclasses
import sys

import pytest
import torch
import tyro
from chests import affine_of, chest_hu, volume_of

from simcrop_core.cli.weights import WeightsConvert
from simcrop_core.errors import CannotWrite, MissingDependency, UnknownWeights
from simcrop_core.inference import openvino
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.openvino import OpenVINOEncoder, convert_encoder, converted_encoder
from simcrop_core.inference.session import Session
from simcrop_core.models.registry import resolve_weights
from simcrop_core.models.weights import sha256_of
from simcrop_core.progress import Job
from simcrop_core.text.report import parse_sentence

needs_openvino = pytest.mark.skipif(openvino.openvino_version() is None, reason="needs the extra openvino")
STATEMENTS = [parse_sentence("Nodule in the left upper lobe."), parse_sentence("The liver.")]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def chest():
    shape = (64, 48, 56)
    return volume_of(chest_hu, affine_of(spacing=(6, 6, 6), shape=shape), shape)


def grounded(chest, engine):
    return Session(chest, [], engine).ground(STATEMENTS)


@needs_openvino
def test_the_packaged_encoder_gives_the_same_features_and_answers(chest):
    in_torch = Engine("starter", "cpu")
    assert in_torch.encoder_versions == {}
    convert_encoder(in_torch.folder, Job())
    fast = Engine("starter", "cpu")
    assert isinstance(fast.patch_encoder, OpenVINOEncoder)
    expected, found = (Session(chest, [], engine).encode().features_NC for engine in (in_torch, fast))
    assert torch.cosine_similarity(expected, found, dim=1).min() > 0.999

    before, now = grounded(chest, in_torch), grounded(chest, fast)
    assert "openvino" not in before.result.made_by.versions
    assert now.result.made_by.versions["openvino"] == openvino.openvino_version()
    for was, sentence in zip(before.result.sentences, now.result.sentences, strict=True):
        assert sentence.score == pytest.approx(was.score, abs=0.02)
        assert sentence.evidence == was.evidence
        assert sentence.peak_ras_mm == pytest.approx(was.peak_ras_mm, abs=6)


@needs_openvino
def test_encoders_of_other_weights_are_not_used(bright_finder):
    convert_encoder(resolve_weights(str(bright_finder)), Job())
    assert isinstance(Engine(str(bright_finder), "cpu").patch_encoder, OpenVINOEncoder)
    assert not isinstance(Engine("starter", "cpu").patch_encoder, OpenVINOEncoder)


@needs_openvino
def test_the_command_says_where_it_is_and_leaves_nothing_else(bright_finder, capsys):
    assert tyro.cli(WeightsConvert, args=[str(bright_finder)]).run() == 0
    target = converted_encoder(sha256_of(bright_finder / "grounding.safetensors"))
    assert target.name in capsys.readouterr().out.replace("\n", "")
    assert sorted(path.suffix for path in target.parent.iterdir()) == [".bin", ".xml"]


@needs_openvino
def test_nothing_is_sent_anywhere(bright_finder):
    asked = []
    # Cannot be taken off again; it only listens.
    sys.addaudithook(lambda event, _: asked.append(event) if event.startswith("socket.") and listening else None)
    listening = True
    convert_encoder(resolve_weights(str(bright_finder)), Job())
    engine = Engine(str(bright_finder), "cpu")
    engine.patch_encoder.encode(torch.zeros(1, 1, *engine.config.frame.shape))
    listening = False
    assert asked == []


@needs_openvino
def test_a_full_disk_leaves_nothing_half_written(bright_finder, monkeypatch):
    import openvino as package

    def fail(_network, path, **_):
        path.write_text("half")
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(package, "save_model", fail)
    with pytest.raises(CannotWrite, match="cannot be written"):
        convert_encoder(resolve_weights(str(bright_finder)), Job())
    target = converted_encoder(sha256_of(bright_finder / "grounding.safetensors"))
    assert list(target.parent.iterdir()) == []


def test_without_the_extra_torch_is_used_and_converting_says_what_to_install(bright_finder, monkeypatch):
    monkeypatch.setattr(openvino, "openvino_version", lambda: None)
    with pytest.raises(MissingDependency, match="openvino") as raised:
        convert_encoder(resolve_weights(str(bright_finder)), Job())
    assert "simcrop[openvino]" in raised.value.hint
    assert not isinstance(Engine(str(bright_finder), "cpu").patch_encoder, OpenVINOEncoder)


@needs_openvino
def test_weights_without_an_image_encoder_are_named(bright_finder):
    folder = dataclasses.replace(resolve_weights(str(bright_finder)), grounding=None)
    with pytest.raises(UnknownWeights, match="no image encoder"):
        convert_encoder(folder, Job())
