from __future__ import annotations

import pytest
from safetensors.torch import save_file
from simcrop_training.convert_minilm import SOURCE_SHA256, convert
from torch import ones

from simcrop_core.errors import DownloadFailed


def test_another_file_than_the_upstream_one_is_refused_and_nothing_written(tmp_path):
    save_file({"w": ones(64, 64)}, tmp_path / "model.safetensors")
    with pytest.raises(DownloadFailed, match=SOURCE_SHA256):
        convert(tmp_path / "model.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()
