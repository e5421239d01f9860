"""Weights become the model that was saved, or a named refusal; `verify` finds what is wrong with them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from simcrop_core.errors import IncompatibleWeights, TaskNotSupported
from simcrop_core.models.checksum import sentences_sha256
from simcrop_core.models.config import SegmentationConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.manifest import checksums_of, write_manifest
from simcrop_core.models.presets import PRESETS, SEGMENTATION_PRESETS
from simcrop_core.models.registry import resolve_weights
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.verify import verify_weights
from simcrop_core.models.weights import (
    REFERENCE_KEY,
    USUAL_KEYS,
    Provenance,
    WeightsMetadata,
    load_grounding_model,
    load_segmentation_model,
    load_weights,
    save_weights,
)

PROVENANCE = Provenance(licence="Apache-2.0", trained_on="phantoms", synthetic=True)
BANK = sentences_sha256(["No effusion.", "Nodule."])
GROUNDING = WeightsMetadata("tiny", PRESETS["tiny"], PROVENANCE, reference_sha256=BANK)
ORGANS = WeightsMetadata("tiny", SEGMENTATION_PRESETS["tiny"], PROVENANCE, tasks={"lungs": {"trachea": (6,)}})


@pytest.fixture
def weights(tmp_path):
    """A whole set, and the models it was written from."""
    torch.manual_seed(1)
    grounding, organs = GroundingModel(PRESETS["tiny"]), UNETR(SEGMENTATION_PRESETS["tiny"])
    reference = torch.randn(2, grounding.width, dtype=torch.float16)
    tensors = grounding.flat_state_dict() | {REFERENCE_KEY: reference}
    save_weights(tmp_path / "set" / "grounding.safetensors", tensors, GROUNDING)
    save_weights(tmp_path / "set" / "segmentation.safetensors", organs.state_dict(), ORGANS)
    write_manifest(tmp_path / "set", checksums_of(tmp_path / "set"))
    return tmp_path / "set", grounding, organs, reference


def rewritten(path, change=lambda tensors: tensors, **fields):
    """The set with the file's tensors or metadata changed."""
    tensors, metadata = load_weights(path)
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    save_weights(path, change(tensors), dataclasses.replace(metadata, **fields))
    return resolve_weights(path.parent)


def without(key):
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name != key}


def test_the_loaded_models_give_the_numbers_of_the_saved_ones(weights):
    folder, grounding, organs, reference = weights
    image = torch.rand(1, 1, 32, 32, 16) * 2 - 1
    loaded, metadata, sentences = load_grounding_model(resolve_weights(folder))
    assert torch.equal(loaded.encode(image), grounding.eval().encode(image))
    assert sentences.reference_RC is not None
    assert torch.equal(sentences.reference_RC, reference)
    assert sentences.usual_MC is None
    assert sentences.usual_M is None
    assert metadata == GROUNDING
    labels, _ = load_segmentation_model(resolve_weights(folder))
    assert torch.equal(labels(image), organs.eval()(image))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in [*loaded.parameters(), *labels.parameters()])


def test_half_precision_files_run_in_single_precision(weights, tmp_path):
    grounding = weights[1]
    save_weights(tmp_path / "half.safetensors", grounding.flat_state_dict(), GROUNDING, half_precision=True)
    model, _, sentences = load_grounding_model(resolve_weights(tmp_path / "half.safetensors"))
    image = torch.rand(1, 1, 32, 32, 16)
    assert model.encode(image).dtype == torch.float32
    assert torch.cosine_similarity(model.encode(image), grounding.encode(image), dim=-1).min() > 0.999
    assert sentences.reference_RC is None


def test_a_missing_an_extra_or_a_misshapen_tensor_is_refused(weights):
    path = weights[0] / "grounding.safetensors"
    with pytest.raises(IncompatibleWeights, match=r"blocks\.1\.mlp\.fc2\.bias"):
        load_grounding_model(rewritten(path, without("blocks.1.mlp.fc2.bias")))
    whole = weights[1].flat_state_dict()
    for key, tensor in (("head.weight", torch.zeros(2)), ("cls_token", torch.zeros(1, 1, 3))):
        save_weights(path, whole | {key: tensor}, GROUNDING)
        with pytest.raises(IncompatibleWeights, match=key.replace(".", r"\.")):
            load_grounding_model(resolve_weights(weights[0]))


def test_reference_sentences_of_another_width_are_refused(weights):
    folder = rewritten(
        weights[0] / "grounding.safetensors", lambda tensors: tensors | {REFERENCE_KEY: torch.zeros(2, 5)}
    )
    with pytest.raises(IncompatibleWeights, match="reference"):
        load_grounding_model(folder)


def test_usual_scores_come_with_the_sentences_they_belong_to(weights):
    path, (embeddings, scores) = weights[0] / "grounding.safetensors", USUAL_KEYS
    known, usual = torch.randn(3, weights[1].width, dtype=torch.float16), torch.tensor([0.1, 0.4, -0.2])
    whole = rewritten(path, lambda tensors: tensors | {embeddings: known, scores: usual})
    stored = load_grounding_model(whole)[2]
    assert stored.usual_MC is not None
    assert stored.usual_M is not None
    assert torch.equal(stored.usual_MC, known)
    assert torch.equal(stored.usual_M, usual)
    with pytest.raises(IncompatibleWeights, match="usual scores"):
        load_grounding_model(rewritten(path, without(embeddings)))


def test_a_configuration_of_no_possible_model_is_refused(weights):
    config = dataclasses.replace(PRESETS["tiny"], vision=dataclasses.replace(PRESETS["tiny"].vision, heads=5))
    with pytest.raises(IncompatibleWeights, match="no possible model"):
        load_grounding_model(rewritten(weights[0] / "grounding.safetensors", config=config))


def test_a_set_without_the_model_asked_for_says_so(weights):
    folder = resolve_weights(weights[0])
    with pytest.raises(TaskNotSupported, match="cannot segment"):
        load_segmentation_model(dataclasses.replace(folder, segmentation=None))
    with pytest.raises(TaskNotSupported, match="cannot ground"):
        load_grounding_model(dataclasses.replace(folder, grounding=None))


def outcomes(folder, bank=BANK):
    return {(check.file, check.what): check.passed for check in verify_weights(folder, reference_sha256=bank)}


def test_a_sound_set_passes_every_check(weights):
    found = outcomes(resolve_weights(weights[0]))
    assert set(found.values()) == {True}
    assert {what for _, what in found} == {"sha256", "configuration", "finite numbers", "reference sentences"}


def test_verify_finds_a_flipped_byte(weights):
    path = weights[0] / "segmentation.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    found = outcomes(resolve_weights(weights[0]))
    assert [check for check, passed in found.items() if passed is False] == [(path.name, "sha256")]


def test_verify_finds_tensors_of_another_model_and_numbers_that_are_none(weights):
    grounding, organs = weights[0] / "grounding.safetensors", weights[0] / "segmentation.safetensors"
    rewritten(grounding, without("norm.bias"))
    rewritten(
        organs,
        lambda tensors: tensors | {"out.conv.conv.bias": torch.full_like(tensors["out.conv.conv.bias"], torch.nan)},
    )
    found = outcomes(resolve_weights(weights[0]))
    assert found[grounding.name, "configuration"] is False
    assert found[organs.name, "finite numbers"] is False


def test_verify_finds_another_bank_of_reference_sentences(weights):
    found = outcomes(resolve_weights(weights[0]), bank=sentences_sha256(["Other."]))
    assert found["grounding.safetensors", "reference sentences"] is False


def test_verify_says_what_it_could_not_compare(weights):
    (weights[0] / "SHA256SUMS").unlink()
    folder = rewritten(weights[0] / "grounding.safetensors", without(REFERENCE_KEY), reference_sha256=None)
    found = outcomes(folder)
    assert found["grounding.safetensors", "sha256"] is None
    assert found["grounding.safetensors", "reference sentences"] is None
    assert False not in found.values()


def test_the_label_names_come_from_the_configuration(weights):
    _, metadata = load_segmentation_model(resolve_weights(weights[0]))
    assert isinstance(metadata.config, SegmentationConfig)
    assert metadata.labels == dict(enumerate(metadata.config.labels[1:], start=1))
