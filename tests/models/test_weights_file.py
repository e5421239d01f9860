"""Weights files: what is written comes back, and nothing half-written or foreign is taken for one."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from simcrop_core.errors import CannotWrite, IncompatibleWeights, UnknownWeights
from simcrop_core.imaging.heatmap import ColourScale
from simcrop_core.models.checksum import sentences_sha256, sha256_of
from simcrop_core.models.config import SegmentationConfig
from simcrop_core.models.presets import PRESETS, SEGMENTATION_PRESETS
from simcrop_core.models.weights import (
    Provenance,
    Thresholds,
    WeightsMetadata,
    load_weights,
    read_metadata,
    save_weights,
)

PROVENANCE = Provenance(licence="Apache-2.0", trained_on="phantoms", synthetic=True)
METADATA = WeightsMetadata("tiny", PRESETS["tiny"], PROVENANCE)
ORGANS = WeightsMetadata(
    "s",
    SEGMENTATION_PRESETS["small"],
    PROVENANCE,
    tasks={"organs": {"heart": (7,), "trachea": (6,)}, "lungs": {"left lung": (1, 2), "trachea": (6,)}},
)
TENSORS = {"a.weight": torch.randn(5, 7), "b": torch.arange(3)}


@pytest.fixture
def weights_file(tmp_path):
    path = tmp_path / "grounding.safetensors"
    save_weights(path, TENSORS, METADATA)
    return path


def test_tensors_and_metadata_come_back(weights_file):
    tensors, metadata = load_weights(weights_file)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)
    assert metadata == METADATA
    assert metadata.kind == "grounding"


structures = st.lists(st.integers(1, 14), unique=True, min_size=1).map(
    lambda values: {f"of {values[0]}": tuple(values[:3])} | {f"part {value}": (value,) for value in values[3:]}
)


@settings(max_examples=15, deadline=None)
@given(
    words=st.text(max_size=20),
    seed=st.none() | st.integers(0, 2**63),
    metrics=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False)),
    thresholds=st.none() | st.builds(Thresholds, st.floats(-1, 1), st.floats(-1, 1)),
    scale=st.none() | st.builds(ColourScale, st.floats(-1, 0), st.floats(0.25, 1)),
    kind=st.sampled_from([PRESETS["base"], PRESETS["small"], SEGMENTATION_PRESETS["small"]]),
    tasks=st.dictionaries(st.text(max_size=5), structures),
)
def test_metadata_survive_json(words, seed, metrics, thresholds, scale, kind, tasks):
    provenance = Provenance(words, words, synthetic=False, seed=seed, metrics=metrics, notes=(words, "x"))
    metadata = WeightsMetadata(
        words,
        kind,
        provenance,
        tasks=tasks if isinstance(kind, SegmentationConfig) else {},
        thresholds=thresholds,
        colour_scale=scale,
    )
    assert WeightsMetadata.from_json(metadata.to_json()) == metadata


def test_segmentation_metadata_name_the_labels_without_the_background(tmp_path):
    save_weights(tmp_path / "s.safetensors", TENSORS, ORGANS)
    stored = read_metadata(tmp_path / "s.safetensors")
    assert stored.kind == "segmentation"
    assert stored.tasks == ORGANS.tasks
    assert json.loads(ORGANS.to_json())["labels"]["1"] == "left upper lobe"


def test_tasks_of_single_labels_are_stored_as_every_version_reads_them():
    """A list of labels, as before structures could have parts; such a list still reads."""
    document = json.loads(ORGANS.to_json())
    assert document["tasks"] == {"organs": [7, 6], "lungs": {"left lung": [1, 2], "trachea": [6]}}
    assert WeightsMetadata.from_json(json.dumps(document)).tasks["organs"] == {"heart": (7,), "trachea": (6,)}


@pytest.mark.parametrize(
    "task", [[15], [0], {"both": [1, 2], "left": [2]}, {"nothing": []}, {"heart": ["seven"]}, [6, 6]], ids=str
)
def test_a_task_that_no_label_map_could_hold_is_refused_by_name(task):
    document = {**json.loads(ORGANS.to_json()), "tasks": {"x": task}}
    with pytest.raises(IncompatibleWeights):
        WeightsMetadata.from_json(json.dumps(document))


def test_half_precision_halves_the_file_and_keeps_what_float16_cannot_hold(tmp_path):
    tensors = {"w": torch.randn(400, 400), "huge": torch.tensor([1e6]), "index": torch.tensor([70000])}
    save_weights(tmp_path / "full.safetensors", tensors, METADATA)
    save_weights(tmp_path / "half.safetensors", tensors, METADATA, half_precision=True)
    stored, _ = load_weights(tmp_path / "half.safetensors")
    assert stored["w"].dtype == torch.float16
    assert torch.allclose(stored["w"].float(), tensors["w"], atol=2e-3)
    assert stored["huge"].item() == 1e6
    assert stored["index"].item() == 70000
    full, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half"))
    assert half < 0.52 * full


def test_tensors_that_share_memory_or_are_views_are_written_in_full(tmp_path):
    table = torch.randn(4, 6)
    save_weights(tmp_path / "w.safetensors", {"tied": table, "too": table, "view": table.T}, METADATA)
    stored, _ = load_weights(tmp_path / "w.safetensors")
    assert torch.equal(stored["tied"], stored["too"])
    assert torch.equal(stored["view"], table.T)


def test_a_folder_that_cannot_be_made_is_a_named_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotWrite):
        save_weights(tmp_path / "file" / "w.safetensors", TENSORS, METADATA)


def test_a_target_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path):
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(CannotWrite):
        save_weights(tmp_path / "w.safetensors", TENSORS, METADATA)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


_REWRITES = """
import itertools, sys, torch
from pathlib import Path
from simcrop_core.models.weights import load_weights, save_weights
path = Path(sys.argv[1])
metadata = load_weights(path)[1]
for i in itertools.count():
    save_weights(path, {"w": torch.full((1_000_000,), float(i))}, metadata)
    print(i, flush=True)
"""


def test_killed_while_writing_it_leaves_a_whole_file(weights_file):
    """Whenever the writer dies, the file is a complete older or newer one."""
    writer = subprocess.Popen([sys.executable, "-c", _REWRITES, weights_file], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == b"0"
        for _ in range(20):
            time.sleep(0.01)
            numbers = load_weights(weights_file)[0]["w"]
            assert bool((numbers == numbers[0]).all())
    finally:
        writer.kill()
        writer.communicate()
    numbers = load_weights(weights_file)[0]["w"]
    assert len(numbers) == 1_000_000
    assert bool((numbers == numbers[0]).all())


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_file_cut_short_is_refused_by_name(tmp_path_factory, share):
    path = tmp_path_factory.mktemp("cut") / "w.safetensors"
    save_weights(path, TENSORS, METADATA)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnknownWeights):
        load_weights(path)


def test_files_that_are_no_weights_are_refused_by_name(tmp_path):
    torch.save(TENSORS, tmp_path / "renamed.safetensors")
    save_file(TENSORS, tmp_path / "plain.safetensors")
    with pytest.raises(UnknownWeights, match="not a whole safetensors"):
        load_weights(tmp_path / "renamed.safetensors")
    with pytest.raises(UnknownWeights, match="which model") as fault:
        load_weights(tmp_path / "plain.safetensors")
    assert "simcrop weights import" in fault.value.hint
    with pytest.raises(UnknownWeights, match="no weights file"):
        load_weights(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "simcrop-weights/2"},
        {"kind": "detection"},
        {"config": {"vision": 3}},
        {"config": None},
        {"provenance": {"licence": "x"}},
        {"tasks": {"lungs": ["left"]}},
        {"thresholds": {"located": 0.5}},
        {"colour_scale": [0, 1]},
        {"colour_scale": {"low": 1, "high": 0}},
    ],
    ids=lambda change: f"{next(iter(change.items()))}"[:40],
)
def test_a_description_that_this_version_does_not_know_is_refused_by_name(tmp_path, change):
    document = {**json.loads(METADATA.to_json()), **change}
    save_file(TENSORS, tmp_path / "w.safetensors", {"simcrop": json.dumps(document)})
    with pytest.raises(IncompatibleWeights):
        load_weights(tmp_path / "w.safetensors")


def test_what_later_releases_add_to_the_provenance_is_left_aside():
    document = json.loads(METADATA.to_json())
    document["provenance"]["energy_kwh"] = 3.5
    assert WeightsMetadata.from_json(json.dumps(document)) == METADATA


def test_the_checksum_is_that_of_the_file_as_it_is_now(weights_file):
    first = sha256_of(weights_file)
    save_weights(weights_file, TENSORS, dataclasses.replace(METADATA, name="other"))
    assert sha256_of(weights_file) != first
    assert len(first) == 64


def test_the_checksum_of_sentences_depends_on_their_text_and_order():
    assert sentences_sha256(["a", "b"]) != sentences_sha256(["b", "a"])
    # printf 'No effusion.\nNödule.' | sha256sum
    expected = "3d5b4ff131ac0a277fbdaf642f474b33e89c28d1fe779f463f7a0c8450f82710"
    assert sentences_sha256(["No effusion.", "Nödule."]) == expected
