"""A BERT sentence encoder (CXR-BERT) from its Hugging Face folder: tensors and tokenizer, none of its code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from simcrop_core.errors import IncompatibleWeights, UnknownWeights
from simcrop_core.models.importers.checkpoint import read_checkpoint
from simcrop_core.models.importers.report import ImportReport, fit, report_of
from simcrop_core.progress import Job

_TENSORS_FILES = ("model.safetensors", "pytorch_model.bin")
_TOKENIZER_FILES = ("vocab.txt", "tokenizer.json")
_ENCODER = "bert."
_BERT_TYPES = ("bert", "cxr-bert")
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_OTHER_SETTINGS = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}
_TOKENIZER_SETTINGS = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}


@dataclass(frozen=True, slots=True, eq=False)
class ImportedText:
    """What goes into the `text` folder of a set of weights.

    Attributes:
        tensors: of the encoder, behind `bert.`.
        files: name to content of the other files.
        dim: width of the embeddings.
        report: the account of every key.
    """

    tensors: dict[str, Tensor]
    files: dict[str, bytes]
    dim: int
    report: ImportReport


def import_cxr_bert(folder: Path, job: Job | None = None) -> ImportedText:
    """Read a sentence encoder; pickled tensors are opened as `read_checkpoint` does.

    Its configuration is written anew as that of a plain BERT, so that nothing later runs code from the folder. Heads
    of its pre-training are left out.

    Args:
        folder: with config.json, vocab.txt or tokenizer.json, and model.safetensors or pytorch_model.bin.
        job: stops the reading of a pickle when it is cancelled.

    Raises:
        UnknownWeights: a file is missing or unreadable.
        UnsafeWeights: the pickle holds something else than tensors and plain values.
        IncompatibleWeights: not a BERT, or a tensor of the encoder is missing or has another shape.
    """
    config = _read_json(folder / "config.json")
    if config.get("model_type") not in _BERT_TYPES or not all(isinstance(config.get(size), int) for size in _SIZES):
        raise IncompatibleWeights(
            f"{folder / 'config.json'} is not that of a BERT encoder.", hint="Only BERT-type encoders are imported."
        )
    source = next((folder / name for name in _TENSORS_FILES if (folder / name).is_file()), None)
    tokenizer = {name: (folder / name).read_bytes() for name in _TOKENIZER_FILES if (folder / name).is_file()}
    if source is None or not tokenizer:
        lacking = "model.safetensors and pytorch_model.bin" if source is None else "vocab.txt and tokenizer.json"
        raise UnknownWeights(f"{folder} has neither of {lacking}.", hint="Fetch the whole model folder.")
    checkpoint = read_checkpoint(source, job=job)
    fitted = fit({_canonical(key): tensor for key, tensor in checkpoint.tensors.items()}, _shapes(config))
    report = report_of(
        checkpoint,
        "cxr-bert",
        loaded=[key for key in checkpoint.tensors if _canonical(key) in fitted.tensors],
        missing=fitted.missing,
        notes=["Sentences are embedded by the encoder alone; heads of its pre-training are left out."],
    )
    settings = {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            **{size: config[size] for size in _SIZES},
            **{name: config.get(name, usual) for name, usual in _OTHER_SETTINGS.items()},
        },
        "tokenizer_config.json": _tokenizer_settings(folder, config["max_position_embeddings"]),
    }
    files = {**tokenizer, **{name: json.dumps(content, indent=2).encode() for name, content in settings.items()}}
    return ImportedText(fitted.tensors, files, config["hidden_size"], report)


def text_width(folder: Path) -> int:
    """Width of the embeddings of a sentence encoder, as its config.json says.

    Raises:
        UnknownWeights: config.json is missing, unreadable or does not say it.
    """
    width = _read_json(folder / "config.json").get("hidden_size")
    if not isinstance(width, int):
        raise UnknownWeights(f"{folder / 'config.json'} gives no hidden_size.", hint="Fetch the whole model folder.")
    return width


def _canonical(key: str) -> str:
    """Behind `bert.`, as models with heads have it; `gamma` and `beta` are how the oldest files say it."""
    key = key if key.startswith((_ENCODER, "cls")) else _ENCODER + key
    return key.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor of a BERT encoder of that configuration, without pooler and heads."""
    dim, hidden = config["hidden_size"], config["intermediate_size"]
    tables = {
        "word_embeddings": config["vocab_size"],
        "position_embeddings": config["max_position_embeddings"],
        "token_type_embeddings": config["type_vocab_size"],
    }
    dense = {
        **{f"attention.self.{role}": (dim, dim) for role in ("query", "key", "value")},
        "attention.output.dense": (dim, dim),
        "intermediate.dense": (hidden, dim),
        "output.dense": (dim, hidden),
    }
    shapes: dict[str, tuple[int, ...]] = {f"embeddings.{name}.weight": (rows, dim) for name, rows in tables.items()}
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{i}" for i in range(config["num_hidden_layers"])):
        shapes |= {f"{layer}.{name}.weight": shape for name, shape in dense.items()}
        shapes |= {f"{layer}.{name}.bias": shape[:1] for name, shape in dense.items()}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    shapes |= {f"{norm}.{part}": (dim,) for norm in norms for part in ("weight", "bias")}
    return {_ENCODER + name: shape for name, shape in shapes.items()}


def _tokenizer_settings(folder: Path, longest: int) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    stored = _read_json(file) if file.is_file() else {}
    settings = {name: stored.get(name, usual) for name, usual in _TOKENIZER_SETTINGS.items()}
    return {"tokenizer_class": "BertTokenizer", "model_max_length": longest, **settings}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UnknownWeights(
            f"{file} is missing or not readable: {fault}.", hint="Give the folder of a Hugging Face model."
        ) from fault
    if not isinstance(content, dict):
        raise UnknownWeights(f"{file} holds no settings.", hint="Give the folder of a Hugging Face model.")
    return content
