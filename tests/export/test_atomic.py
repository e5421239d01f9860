"""A file is whole or not there, whatever goes wrong."""

from __future__ import annotations

import pytest

from simcrop_core.errors import CannotWrite
from simcrop_core.export.atomic import replacing


def test_the_file_appears_when_the_block_ends_and_not_before(tmp_path):
    target = tmp_path / "new" / "folder" / "map.nii.gz"
    with replacing(target) as temporary:
        temporary.write_text("all of it")
        assert temporary.name.endswith(".nii.gz")
        assert not target.exists()
    assert target.read_text() == "all of it"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("fault", [ValueError("a bug"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_whatever_fails_the_older_file_stays_and_nothing_else_does(tmp_path, fault):
    target = tmp_path / "report.html"
    target.write_text("older")
    expected = CannotWrite if isinstance(fault, OSError) else type(fault)

    def write_and_fail():
        with replacing(target) as temporary:
            temporary.write_text("half of")
            raise fault

    with pytest.raises(expected):
        write_and_fail()
    assert target.read_text() == "older"
    assert list(tmp_path.iterdir()) == [target]


def test_the_user_is_told_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    for impossible in (tmp_path, tmp_path / "file" / "below-a-file.json"):
        with pytest.raises(CannotWrite) as caught, replacing(impossible) as temporary:
            temporary.write_text("")
        assert caught.value.hint
