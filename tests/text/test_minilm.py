"""The text tower inside the package."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from simcrop_core.models.presets import PRESETS
from simcrop_core.text.encoder import MINILM, load_text_encoder

_GOLDEN = Path(__file__).parents[1] / "golden" / "minilm_original.npz"


@pytest.fixture(scope="module")
def tower():
    return load_text_encoder(PRESETS["small"].text)


def test_int8_keeps_the_embeddings_of_the_original(tower):
    """Against the upstream float32 model run by transformers (tests/golden/make_minilm_original.py)."""
    golden = np.load(_GOLDEN)
    embeddings = tower.encode([str(sentence) for sentence in golden["sentences"]])
    cosines = torch.cosine_similarity(embeddings, torch.from_numpy(golden["embeddings"]))
    assert cosines.min() > 0.9995


def test_sentences_of_one_meaning_are_nearer_than_sentences_of_two(tower):
    fluid, same, other = tower.encode(
        ["Pleural effusion on the right.", "Fluid in the right pleural space.", "Calcified plaque in the aortic arch."]
    )
    assert torch.cosine_similarity(fluid, same, dim=0) > torch.cosine_similarity(fluid, other, dim=0) + 0.2


def test_the_folder_says_where_it_comes_from_and_under_which_licence():
    with safe_open(MINILM / "model.safetensors", framework="pt") as file:
        source = file.metadata()["source_sha256"]
    assert source.startswith("53aa5117")
    assert source in (MINILM / "README.md").read_text(encoding="utf-8")
    assert "Apache License" in (MINILM / "LICENSE").read_text(encoding="utf-8")


def test_the_packaged_tower_needs_neither_transformers_nor_the_hub():
    """Importing transformers costs seconds, before the first sentence."""
    code = (
        "import sys; from simcrop_core.text.encoder import load_text_encoder;"
        "from simcrop_core.models.presets import PRESETS; load_text_encoder(PRESETS['small'].text).encode(['Cyst.']);"
        "print([name for name in ('transformers', 'sympy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == "[]"


def test_the_tokenizer_keeps_no_length_of_its_own(tower):
    """Upstream pads to 128 tokens and cuts there; here the model's configuration decides."""
    long = "nodule " * 200
    assert torch.equal(tower.encode([long]), tower.encode([long + "effusion"]))
    assert not torch.equal(tower.encode(["nodule " * 20]), tower.encode(["nodule " * 21]))
    assert hashlib.sha256((MINILM / "tokenizer.json").read_bytes()).hexdigest().startswith("3ad85795")
