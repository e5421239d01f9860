"""Writes minilm_original.npz: embeddings of the unconverted all-MiniLM-L6-v2, by transformers, in float32.

    python tests/golden/make_minilm_original.py FOLDER_OF_THE_UPSTREAM_MODEL

To be run again only if the packaged tower is made from another source.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, BertModel

SENTENCES = (
    "Spiculated solid mass in the superior segment of the left lower lobe.",
    "No pleural effusion.",
    "Cardiomegaly.",
    "Small right pleural effusion layering posteriorly.",
    "Pleura: Normal.",
    "Calcified mediastinal and hilar nodes, the largest 14 mm in short axis in the right lower paratracheal station.",
    "Hypodense lesion of 30 mm in segment 4 of the liver.",
    "Acute displaced fracture of the right eighth rib.",
)


def main(folder: Path) -> None:
    network = BertModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for sentence in SENTENCES:
        with torch.no_grad():
            tokens = network(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0]
        rows.append(tokens.mean(dim=0).numpy())
    np.savez(Path(__file__).with_name("minilm_original.npz"), sentences=np.array(SENTENCES), embeddings=np.stack(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
