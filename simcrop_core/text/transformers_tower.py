"""Text towers that are not BERT, through `transformers`; imported only when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

from simcrop_core.errors import IncompatibleWeights


def load_tower(
    directory: Path, *, max_tokens: int, device: torch.device | str
) -> tuple[Callable[[list[str]], list[list[int]]], Callable[[torch.Tensor], torch.Tensor]]:
    """The folder's tokenizer and network, as `SentenceEncoder` takes them.

    Raises:
        IncompatibleWeights: `transformers` does not know the architecture without running the folder's own code.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        network = AutoModel.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (ValueError, OSError, KeyError) as fault:
        raise IncompatibleWeights(
            f"transformers cannot load the text model in {directory}: {fault}",
            hint="Models that need code of their own are not run; use a BERT-type encoder or the packaged one.",
        ) from fault
    network = network.eval().requires_grad_(False).to(device)

    def tokenise(sentences: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(sentences, truncation=True, max_length=max_tokens)["input_ids"]
        return ids

    def forward(ids_BT: torch.Tensor) -> torch.Tensor:
        tokens_BTC: torch.Tensor = network(input_ids=ids_BT).last_hidden_state
        return tokens_BTC

    return tokenise, forward
