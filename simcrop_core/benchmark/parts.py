"""What is measured of each part; runs in a process of its own and prints its figures as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from simcrop_core.benchmark import peers
from simcrop_core.benchmark.clock import growth_mb, median_seconds, percentiles, seconds
from simcrop_core.imaging.frame import frame_volume
from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.device import compute_dtype, prepared, resolve_device
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.features import PatchFeatures, encode_frame
from simcrop_core.inference.grounding import ground
from simcrop_core.inference.segmentation import segment_volume
from simcrop_core.inference.session import Session
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.presets import PRESETS, SEGMENTATION_PRESETS
from simcrop_core.models.structures import each_alone
from simcrop_core.models.unetr import UNETR
from simcrop_core.progress import Job
from simcrop_core.text.bert import Bert, BertConfig
from simcrop_core.text.encoder import MINILM, SentenceEncoder
from simcrop_core.text.reference import reference_sentences
from simcrop_core.text.report import parse_sentence


def measure_small(device_name: Any, scan: Path) -> dict[str, Any]:
    """The packaged weights, end to end: from file to frame, encoding, sentences never seen before, segmentation."""
    engine = Engine(device=device_name)
    frame_config = engine.config.frame
    read_frame_mb = growth_mb(lambda: frame_volume(read_volume(scan), frame_config))
    session = Session.open(scan, engine)
    encode_s = median_seconds(lambda: encode_frame(engine.patch_encoder, session.frame, Job()))
    session.ground([parse_sentence("A first sentence, to warm up.")])
    sentence_ms = []
    for sentence in reference_sentences()[:60]:
        start = time.perf_counter()
        session.ground([parse_sentence(f"Newly seen: {sentence}")])
        sentence_ms.append(1000 * (time.perf_counter() - start))
    organs = engine.structures_of("chest")
    cube = _cube(session.volume)
    return {
        "sentence_ms": percentiles(sentence_ms),
        "encode_s": encode_s,
        "read_frame_s": median_seconds(lambda: frame_volume(read_volume(scan), frame_config)),
        "read_frame_mb": read_frame_mb,
        "segment_s": round(
            seconds(lambda: segment_volume(engine.segmentation_model, cube, organs, job=Job(), warn=_fail)), 3
        ),
    }


def measure_base(device_name: Any, scan: Path) -> dict[str, Any]:
    """The paper's network with random weights: its speed does not depend on their values."""
    torch.manual_seed(0)
    device = resolve_device(device_name)
    config = PRESETS["base"]
    read_frame_mb = growth_mb(lambda: frame_volume(read_volume(scan), config.frame))
    model = GroundingModel(config).eval()
    frame = frame_volume(read_volume(scan), config.frame)
    exact = encode_frame(model, frame, Job())
    model.vision.to(device, compute_dtype(device))
    features = encode_frame(model, frame, Job())
    unetr = prepared(UNETR(SEGMENTATION_PRESETS["base"]).eval(), device)
    labels = SEGMENTATION_PRESETS["base"].labels
    organs = each_alone(labels, range(1, len(labels)))
    cube = _cube(read_volume(scan))
    return {
        "sentence_ms": percentiles(_base_sentence_ms(features, config.top_k)),
        "encode_s": median_seconds(lambda: encode_frame(model, frame, Job())),
        "encode_cosine_to_float32": round(_least_cosine(features.features_NC, exact.features_NC), 6),
        "read_frame_s": median_seconds(lambda: frame_volume(read_volume(scan), config.frame)),
        "read_frame_mb": read_frame_mb,
        "segment_s": round(seconds(lambda: segment_volume(unetr, cube, organs, job=Job(), warn=_fail)), 3),
    }


def _base_sentence_ms(features: PatchFeatures, top_k: int) -> list[float]:
    """A BERT of CXR-BERT's size with random weights, and the comparison with 2,744 patches of 768 numbers."""
    tokenizer = Tokenizer.from_file(str(MINILM / "tokenizer.json"))
    bert = Bert(BertConfig(30522, 512, 768, 12, 12, 3072, 1e-12, 2)).eval()
    for parameter in bert.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    encoder = SentenceEncoder(
        lambda texts: [tokenizer.encode(text).ids for text in texts], bert, dim=768, pooling="cls"
    )
    milliseconds = []
    for sentence in reference_sentences()[:60]:
        start = time.perf_counter()
        ground(features, encoder.encode([sentence]), top_k=top_k)
        milliseconds.append(1000 * (time.perf_counter() - start))
    return milliseconds[10:]


def _cube(volume: Volume) -> Volume:
    """A cube of 336 mm at the model's spacing, for segmentation."""
    frame = frame_volume(volume, PRESETS["base"].frame)
    hu = (frame.images_THWD[0] * 1000).astype(np.int16)
    return Volume(np.asfortranarray(hu), frame.affine, "cube")


def _fail(warning: str) -> None:
    raise MemoryError(warning)


def _least_cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a, b, dim=1).min())


if __name__ == "__main__":
    part, device_argument, scan_argument = sys.argv[1:]
    measure = {"small": measure_small, "base": measure_base, "peers": peers.measure_peers}[part]
    json.dump(measure(device_argument, Path(scan_argument)), sys.stdout)
