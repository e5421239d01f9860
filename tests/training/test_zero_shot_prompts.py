"""Prompt sets word by word, and probabilities against a plain rewrite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from simcrop_training.evaluate.trained import Trained
from simcrop_training.evaluate.zero_shot.ask import Asker
from simcrop_training.evaluate.zero_shot.prompts import Prompts, prompts_of

from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.presets import PRESETS
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_core.text.encoder import load_text_encoder


@pytest.fixture(scope="module")
def trained() -> Trained:
    torch.manual_seed(0)
    model = GroundingModel(PRESETS["tiny"]).eval()
    return Trained(model.vision, model.config.frame, model)


@pytest.mark.parametrize(
    ("name", "positive", "negative"),
    [
        ("ctclip", "Lung nodule is present.", "Lung nodule is not present."),
        ("ctclip_trainer", "There is Lung nodule.", "There is no Lung nodule."),
        ("fvlm", "Nodule.", "Not Nodule."),
        ("hlip", "The volume shows: lung nodule.", "The volume shows: not lung nodule."),
    ],
)
def test_published_prompts_are_word_for_word(name: str, positive: str, negative: str) -> None:
    prompts = prompts_of(name)  # type: ignore[arg-type]
    assert list(prompts) == list(CT_RATE_LABELS)
    assert prompts["Lung nodule"] == Prompts((positive,), (negative,))


def test_fvlm_asks_labels_that_it_has_no_words_for_by_their_name() -> None:
    assert prompts_of("fvlm")["Lymphadenopathy"] == Prompts(("Lymphadenopathy.",), ("Not Lymphadenopathy.",))


def test_phrases_are_several_each_way() -> None:
    assert all(len(asked.positive) > 2 and len(asked.negative) > 2 for asked in prompts_of("phrases").values())


def test_probabilities_are_a_softmax_over_mean_similarities(trained: Trained) -> None:
    prompts = {
        "mass": Prompts(("A mass.", "There is a mass in the lung."), ("No mass.",)),
        "effusion": Prompts(("Pleural effusion.",), ("No pleural effusion.", "No effusion is seen.")),
    }
    frames = torch.rand(2, 1, 32, 32, 16) * 2 - 1
    found = Asker(trained, prompts).probabilities(frames)
    model = trained.grounding
    assert model is not None
    encoder = load_text_encoder(model.config.text)
    for b, frame in enumerate(frames):
        with torch.no_grad():
            patches = F.normalize(model.encode(frame[None])[0], dim=-1)
        for index, asked in enumerate(prompts.values()):
            means = []
            for texts in (asked.positive, asked.negative):
                with torch.no_grad():
                    words = F.normalize(model.project(encoder.encode(list(texts)).clone()), dim=-1)
                means.append(np.mean([np.sort((patches @ word).numpy())[-4:].mean() for word in words]))
            there, denied = np.exp(np.array(means, dtype=np.float64) / 0.07)
            assert found[b, index] == pytest.approx(there / (there + denied), abs=1e-5)


def test_a_method_without_words_is_refused(trained: Trained) -> None:
    with pytest.raises(ValueError, match="no words"):
        Asker(Trained(trained.vision, trained.frame), prompts_of("ctclip"))
