"""A short, seeded run of every fuzz target; docs/fuzzing.md says how to run them for hours."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_seeds import SEEDS
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.text.sentences import split_sentences

# Inputs a target: a second or so together.
FEW = {"nifti": 150, "nrrd": 60, "metaimage": 60, "report": 60, "frames": 400, "answer": 400}


def broken(seed, random_):
    """A seed with some bytes changed, left out or said twice."""
    data = bytearray(seed)
    for _ in range(random_.randint(1, 4)):
        at, length = random_.randrange(len(data)), random_.randint(1, 8)
        how = random_.randrange(4)
        if how == 0:
            data[at] = random_.randrange(256)
        elif how == 1:
            data[at : at + length] = random_.choice((b"\xff", b"\x00", b"9", b"-")) * length
        elif how == 2 and len(data) > 2 * length:
            del data[at : at + length]
        else:
            data[at:at] = data[at : at + 8 * length]
    return bytes(data[: random_.choice((len(data), len(data), random_.randint(1, len(data))))])


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_understood(name):
    assert all(TARGETS[name](seed) for seed in SEEDS[name])


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_broken_is_named_or_understood(name):
    """A target raises what is neither, and the bytes that did it are shown."""
    random_ = random.Random(f"{name} 1")
    for _ in range(FEW[name]):
        TARGETS[name](broken(random_.choice(SEEDS[name]), random_))


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris: pip install 'simcrop[fuzz]'")
@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_of_atheris_finds_nothing(name, tmp_path):
    command = [sys.executable, Path(__file__).with_name("fuzz_one.py"), name, f"-runs={FEW[name]}", "-seed=1"]
    ran = subprocess.run([*command, f"-artifact_prefix={tmp_path}/"], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_splitting_invents_no_letter_and_splits_no_sentence_twice(text):
    sentences = split_sentences(text)
    letters = iter(text)
    assert all(letter in letters for sentence in sentences for letter in sentence if not letter.isspace())
    assert all(sentence == " ".join(sentence.split()) and sentence for sentence in sentences)
