"""OpenVINO's form of an image encoder gives what torch gives, is only used where it was made, and tells nobody."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import tyro
from chests import affine_of, chest_hu, volume_of

import simcrop_core.inference.engine
from simcrop_core.cli.weights import WeightsConvert
from simcrop_core.errors import CannotWrite, IncompatibleWeights, MissingDependency, UnknownWeights
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


# In a process of its own: OpenVINO would send at its first import, from a process that it starts.
CONVERT_AND_ENCODE = """
import sys, torch
from pathlib import Path
asked = []
outward = ("socket.connect", "socket.send", "socket.getaddrinfo", "os.fork")
sys.addaudithook(lambda event, _: asked.append(event) if event.startswith(outward) else None)
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.openvino import OpenVINOEncoder, convert_encoder
from simcrop_core.models.registry import resolve_weights
from simcrop_core.progress import Job
convert_encoder(resolve_weights(sys.argv[1]), Job())
engine = Engine(sys.argv[1], "cpu")
assert isinstance(engine.patch_encoder, OpenVINOEncoder)
engine.patch_encoder.encode(torch.zeros(1, 1, *engine.config.frame.shape))
assert asked == [], asked
assert sys.modules["openvino_telemetry"] is None
"""


@needs_openvino
def test_nothing_is_sent_anywhere(bright_finder, tmp_path):
    """Neither is the identity kept by which OpenVINO's telemetry knows a user; it sends nothing where `CI` is set."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    told = subprocess.run(
        [sys.executable, "-c", CONVERT_AND_ENCODE, str(bright_finder)],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert not (tmp_path / "intel").exists()


@needs_openvino
def test_threads_get_the_features_of_their_own_scans(bright_finder):
    convert_encoder(resolve_weights(str(bright_finder)), Job())
    engine = Engine(str(bright_finder), "cpu")
    encoder = engine.patch_encoder
    scans = [torch.full((1, 1, *engine.config.frame.shape), level) for level in (-1.0, 1.0)]
    alone = [encoder.encode(scan) for scan in scans]
    assert not torch.allclose(*alone)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(encoder.encode, scans * 20))
    assert all(torch.equal(found, alone[place % 2]) for place, found in enumerate(together))


@needs_openvino
@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_a_damaged_file_is_named(bright_finder, suffix):
    file = convert_encoder(resolve_weights(str(bright_finder)), Job())
    file.with_suffix(suffix).write_bytes(b"damaged")
    with pytest.raises(IncompatibleWeights, match="cannot be read by OpenVINO") as raised:
        _ = Engine(str(bright_finder), "cpu").patch_encoder
    assert "convert" in raised.value.hint


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


@needs_openvino
def test_a_conversion_cut_short_leaves_no_network_with_other_weights(bright_finder, monkeypatch):
    file = convert_encoder(resolve_weights(str(bright_finder)), Job())
    move = type(file).replace

    def cut(path, target):
        if path.suffix == ".xml":
            raise OSError("cut short")
        return move(path, target)

    monkeypatch.setattr(type(file), "replace", cut)
    with pytest.raises(CannotWrite):
        convert_encoder(resolve_weights(str(bright_finder)), Job())
    assert not file.exists()
    assert not isinstance(Engine(str(bright_finder), "cpu").patch_encoder, OpenVINOEncoder)


def test_without_the_extra_torch_is_used_and_converting_says_what_to_install(bright_finder, monkeypatch):
    """Also where somebody has converted the weights before."""
    for module in (openvino, simcrop_core.inference.engine):
        monkeypatch.setattr(module, "openvino_version", lambda: None)
    earlier = converted_encoder(sha256_of(bright_finder / "grounding.safetensors"))
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    with pytest.raises(MissingDependency, match="openvino") as raised:
        convert_encoder(resolve_weights(str(bright_finder)), Job())
    assert "simcrop[openvino]" in raised.value.hint
    assert not isinstance(Engine(str(bright_finder), "cpu").patch_encoder, OpenVINOEncoder)


@needs_openvino
def test_weights_without_an_image_encoder_are_named(bright_finder):
    folder = dataclasses.replace(resolve_weights(str(bright_finder)), grounding=None)
    with pytest.raises(UnknownWeights, match="no image encoder"):
        convert_encoder(folder, Job())
