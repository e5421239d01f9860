"""Compiled blocks learn what blocks that are not compiled do."""

from __future__ import annotations

import shutil

import pytest
from tiny_run import losses, run

COMPILER = next((path for name in ("c++", "g++", "clang++", "cl") if (path := shutil.which(name))), None)


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="torch.compile needs a C++ compiler on the path")
def test_a_compiled_run_has_the_losses_of_one_that_is_not(tmp_path):
    for name in (True, False):
        run(tmp_path / str(name), compile=name)
    compiled, plain = losses(tmp_path / "True"), losses(tmp_path / "False")
    assert list(compiled) == list(range(1, 7))
    for name in ("loss", "image", "alignment", "report", "norm"):
        assert losses(tmp_path / "True", name) == pytest.approx(losses(tmp_path / "False", name), rel=1e-4)
    # Not merely the same kernels: fused ones round otherwise.
    assert compiled != plain
