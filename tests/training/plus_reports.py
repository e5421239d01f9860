"""simcrop_plus on four short reports, small enough to be computed by hand."""

from __future__ import annotations

import numpy as np
from simcrop_training.data.sample import CELLS, Truth
from simcrop_training.data.source import Pair
from simcrop_training.methods import METHODS
from simcrop_training.objectives.pairs import PairData
from simcrop_training.objectives.simcrop_plus import SimCroPPlus
from tiny_run import tiny_method

from simcrop_core.models.presets import PRESETS
from simcrop_core.text.encoder import load_text_encoder

REPORTS = (
    ("A nodule of 8 mm is seen in the right upper lobe.", "There is no pleural effusion.", "The heart is normal."),
    ("There is a nodule in the left lung.", "There is no pleural effusion.", "The aorta is calcified."),
    ("Emphysema is present in both upper lobes.", "Pleural effusion on the right.", "The heart is normal."),
    ("Nodules in the right lung.", "There is a consolidation in the left lower lobe.", "The heart is normal."),
)


class SaidSource:
    """The reports above with images of noise, and a place for the first sentence of each."""

    pairs = len(REPORTS)
    pair_bytes = 1

    def __init__(self, encoder):
        self._encoder = encoder

    def pair(self, ordinal):
        texts = REPORTS[ordinal % len(REPORTS)]
        image = np.random.default_rng(ordinal).integers(-1000, 500, (32, 32, 16)).astype(np.int16)
        cells = np.flatnonzero(np.arange(np.prod(CELLS)) % 7 == ordinal % 4).astype(np.int32)
        full = np.full(len(cells), 32, np.uint8)
        none = (np.zeros(0, np.int32), np.zeros(0, np.uint8))
        truths = (
            Truth(texts[0], "positive", "nodule", "", "", cells, full),
            Truth(texts[1], "negated", "pleural effusion", "", "", *none),
        )
        rows = self._encoder.encode(texts).numpy()
        return Pair(image, texts, rows, " ".join(texts), truths=truths)

    def sentence_embeddings(self, limit):
        return self._encoder.encode(sorted({text for report in REPORTS for text in report})[:limit]).numpy()


def plus(**settings):
    """The method in float64 and without dropout on the reports above."""
    made = tiny_method("simcrop_plus", batch=4, micro_batch=4)
    encoder = load_text_encoder(made.config.text)
    texts = sorted({text for report in REPORTS for text in report})
    known = {text: row.numpy() for text, row in zip(texts, encoder.encode(texts), strict=True)}
    data = PairData(PRESETS["tiny"].frame, SaidSource(encoder), embeddings=known, top_k=4)
    chosen = METHODS["simcrop_plus"].settings(**{"batch": 4, "micro_batch": 4, "report_tokens": 24, **settings})
    objective = SimCroPPlus(made.config, data, chosen, 3)
    objective.module.double().eval()
    return objective
