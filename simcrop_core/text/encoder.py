"""Sentences to embeddings, with the frozen text tower a model names."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from simcrop_core.errors import IncompatibleWeights, UnknownWeights
from simcrop_core.models.config import TextConfig
from simcrop_core.text.bert import Bert, BertConfig, bert_from_hugging_face
from simcrop_core.text.hub import find_text_model
from simcrop_core.text.int8 import dequantise

MINILM = Path(__file__).parent / "minilm"
_BERT_TYPES = ("bert", "cxr-bert")
_BATCH = 64

Tokenise = Callable[[list[str]], list[list[int]]]


class TextEncoder(Protocol):
    """Whatever turns sentences into embeddings of one width."""

    @property
    def dim(self) -> int:
        """Width of an embedding."""

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """(S, dim) float32 embeddings on the CPU, not normalised, in the order of the sentences."""


class SentenceEncoder:
    """A frozen transformer with its tokenizer and pooling.

    Sentences of equal token count share a batch, so nothing is ever padded and an embedding does not depend on the
    sentences it is encoded with.

    Args:
        tokenise: sentences to token ids with the special tokens, already cut to the longest allowed.
        network: (B, T) ids to (B, T, dim) tokens.
        dim: width of the network.
        pooling: "cls", the first token, or "mean" over all tokens, the special ones included (as all-MiniLM does).
        device: where the network is.
    """

    def __init__(
        self,
        tokenise: Tokenise,
        network: Callable[[torch.Tensor], torch.Tensor],
        *,
        dim: int,
        pooling: Literal["cls", "mean"],
        device: torch.device | str = "cpu",
    ) -> None:
        self._tokenise = tokenise
        self._network = network
        self._dim = dim
        self._pooling = pooling
        self._device = device

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return self._dim

    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Embed sentences; the same sentence always gives the same embedding.

        Args:
            sentences: any number of them; longer ones than the model's `max_tokens` are cut.

        Returns:
            (S, dim) float32 on the CPU, not L2-normalised (grounding normalises both sides itself).
        """
        embeddings_SC = torch.empty(len(sentences), self._dim)
        by_length: dict[int, list[int]] = defaultdict(list)
        ids = self._tokenise(list(sentences)) if sentences else []
        for index, tokens in enumerate(ids):
            by_length[len(tokens)].append(index)
        for same_length in by_length.values():
            for start in range(0, len(same_length), _BATCH):
                batch = same_length[start : start + _BATCH]
                tokens_BTC = self._network(torch.tensor([ids[i] for i in batch], device=self._device))
                pooled_BC = tokens_BTC[:, 0] if self._pooling == "cls" else tokens_BTC.mean(dim=1)
                embeddings_SC[batch] = pooled_BC.float().cpu()
        return embeddings_SC


def load_text_encoder(config: TextConfig, *, device: torch.device | str = "cpu") -> SentenceEncoder:
    """The text tower that `config.encoder` names: "minilm", a Hugging Face directory, or a Hub id.

    Only safetensors are read and no code from a model's folder is ever run. BERT models of any kind run on the
    project's own `Bert`; other architectures go through `transformers`.

    Args:
        config: encoder, width, pooling and token limit.
        device: where the tower runs; embeddings come back to the CPU.

    Raises:
        UnknownWeights: no such folder or Hub model, or a part of it is missing.
        DownloadFailed: the Hub could not be reached and the model is not in the local cache.
        IncompatibleWeights: tensors are missing, or the model's width is not `config.dim`.
    """
    directory, model = _found(config)
    if model.get("hidden_size") != config.dim:
        raise IncompatibleWeights(
            f"The text model {config.encoder} is {model.get('hidden_size')} wide, the weights expect {config.dim}.",
            hint="Use the text model the weights were trained with; `simcrop weights list` names it.",
        )
    if not _is_plain_bert(model):
        # Seconds of import that no BERT tower needs.
        from simcrop_core.text.transformers_tower import load_tower

        tokenise, network = load_tower(directory, max_tokens=config.max_tokens, device=device)
    else:
        tokenise = _tokenise_with(_tokenizer(directory), min(config.max_tokens, model["max_position_embeddings"]))
        network = _bert(directory, model).to(device)
    return SentenceEncoder(tokenise, network, dim=config.dim, pooling=config.pooling, device=device)


def load_bert(config: TextConfig) -> tuple[Tokenizer, Bert]:
    """The tokenizer and the network of a text tower themselves, for training on whole reports.

    Raises:
        UnknownWeights: no such folder or Hub model, or a part of it is missing.
        DownloadFailed: the Hub could not be reached and the model is not in the local cache.
        IncompatibleWeights: it is no BERT.
    """
    directory, model = _found(config)
    if not _is_plain_bert(model):
        raise IncompatibleWeights(
            f"The text model {config.encoder} is not a BERT.", hint="Pre-training needs a BERT, such as CXR-BERT."
        )
    return _tokenizer(directory), _bert(directory, model)


def _found(config: TextConfig) -> tuple[Path, dict[str, Any]]:
    """The folder of a text model and the content of its config.json."""
    directory = MINILM if config.encoder == "minilm" else find_text_model(config.encoder)
    return directory, json.loads((directory / "config.json").read_text(encoding="utf-8"))


def _bert(directory: Path, model: dict[str, Any]) -> Bert:
    return bert_from_hugging_face(BertConfig.from_hugging_face(model), _tensors(directory))


def _is_plain_bert(model: dict[str, Any]) -> bool:
    return (
        model.get("model_type") in _BERT_TYPES
        and model.get("hidden_act", "gelu") == "gelu"
        and model.get("position_embedding_type", "absolute") == "absolute"
    )


def _tensors(directory: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(directory.glob("model*.safetensors")):
        try:
            tensors |= load_file(file)
        except SafetensorError as fault:
            raise UnknownWeights(
                f"{file} is not a whole safetensors file: {fault}.", hint="Fetch it again; it may be cut short."
            ) from fault
    return dequantise(tensors)


def _tokenizer(directory: Path) -> Tokenizer:
    """The folder's fast tokenizer, or a WordPiece one over its vocab.txt where there is none."""
    if (directory / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(directory / "tokenizer.json"))
    settings_file = directory / "tokenizer_config.json"
    settings = json.loads(settings_file.read_text(encoding="utf-8")) if settings_file.is_file() else {}
    if not (directory / "vocab.txt").is_file():
        raise UnknownWeights(
            f"{directory} has neither tokenizer.json nor vocab.txt.",
            hint="Fetch the whole model folder, the tokenizer's files included.",
        )
    tokenizer = Tokenizer(WordPiece.from_file(str(directory / "vocab.txt"), unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = BertPreTokenizer()
    special = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    return tokenizer


def _tokenise_with(tokenizer: Tokenizer, max_tokens: int) -> Tokenise:
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=max_tokens)
    return lambda sentences: [encoding.ids for encoding in tokenizer.encode_batch(sentences)]
