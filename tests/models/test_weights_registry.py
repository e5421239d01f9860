"""Names, folders and files lead to the weights they mean, and to nothing outside."""

from __future__ import annotations

import pytest

import simcrop_core.models.registry as registry
from simcrop_core.errors import IncompatibleWeights, UnknownWeights
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.presets import PRESETS, SEGMENTATION_PRESETS
from simcrop_core.models.registry import is_weights_name, list_weights, resolve_weights, weights_home
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.weights import Provenance, WeightsMetadata, save_weights

PROVENANCE = Provenance(licence="Apache-2.0", trained_on="phantoms", synthetic=True)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home" / "weights"


def write_grounding(folder, name="mine"):
    config = PRESETS["tiny"]
    metadata = WeightsMetadata(name, config, PROVENANCE)
    save_weights(folder / "grounding.safetensors", GroundingModel(config).flat_state_dict(), metadata)


def write_segmentation(folder, name="mine"):
    config = SEGMENTATION_PRESETS["tiny"]
    metadata = WeightsMetadata(name, config, PROVENANCE, tasks={"lungs": {"trachea": (6,)}})
    save_weights(folder / "segmentation.safetensors", UNETR(config).state_dict(), metadata)


def test_a_name_leads_to_the_files_the_set_has(home):
    write_grounding(home / "mine")
    write_segmentation(home / "organs.v2")
    (home / "mine" / "text").mkdir()
    mine, organs = resolve_weights("mine"), resolve_weights("organs.v2")
    assert (mine.name, mine.segmentation) == ("mine", None)
    assert mine.grounding == home / "mine" / "grounding.safetensors"
    assert mine.text == home / "mine" / "text"
    assert organs.grounding is None
    assert organs.segmentation == home / "organs.v2" / "segmentation.safetensors"


def test_folders_and_files_are_taken_from_anywhere(tmp_path):
    write_grounding(tmp_path / "elsewhere", name="trained")
    write_segmentation(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "text").mkdir()
    folder = resolve_weights(tmp_path / "elsewhere")
    assert folder.name == "elsewhere"
    assert None not in (folder.grounding, folder.segmentation, folder.text)
    file = resolve_weights(str(tmp_path / "elsewhere" / "grounding.safetensors"))
    assert (file.name, file.segmentation) == ("trained", None)
    assert file.text == tmp_path / "elsewhere" / "text", "an imported encoder keeps its sentence encoder"
    organs = resolve_weights(tmp_path / "elsewhere" / "segmentation.safetensors")
    assert organs.grounding is None


def test_a_name_goes_before_a_folder_of_that_name_here(home, tmp_path):
    write_grounding(home / "mine")
    write_segmentation(tmp_path / "mine")
    assert resolve_weights("mine").grounding == home / "mine" / "grounding.safetensors"
    assert resolve_weights("./mine").grounding is None


def test_what_is_not_there_is_said_with_what_is(home, tmp_path):
    write_grounding(home / "mine")
    (tmp_path / "empty").mkdir()
    for absent in ("official", "empty", str(tmp_path / "empty"), "no/such/folder", ""):
        with pytest.raises(UnknownWeights) as fault:
            resolve_weights(absent)
        assert "mine" in fault.value.hint


def test_a_single_foreign_file_is_refused(tmp_path):
    (tmp_path / "simcrop.pth").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(UnknownWeights) as fault:
        resolve_weights(tmp_path / "simcrop.pth")
    assert "import" in fault.value.hint


@pytest.mark.parametrize(
    "name", ["..", "../mine", "a/b", r"a\b", ".hidden", "con", "NUL.txt", "x" * 65, "", "a..b", "ü"]
)
def test_names_that_would_leave_the_home_or_trouble_a_platform_are_no_names(name):
    assert not is_weights_name(name)


@pytest.mark.parametrize("name", ["simcrop", "SimCroP-2025_07", "v1.2", "console"])
def test_ordinary_names_are_names(name):
    assert is_weights_name(name)


def test_the_list_is_the_packaged_set_and_then_ones_own_by_name(home, tmp_path, monkeypatch):
    for name in ("zeta", "alpha", ".alpha.1f2e", "starter"):
        write_grounding(home / name)
    (home / "empty").mkdir()
    (home / "note.txt").write_text("not a set")
    package = tmp_path / "package"
    write_grounding(package / "starter", name="starter")
    (package / "__init__.py").touch()
    monkeypatch.setattr(registry.simcrop_core, "__file__", str(package / "__init__.py"))
    assert [weights.name for weights in list_weights()] == ["starter", "alpha", "zeta"]
    assert resolve_weights("starter").grounding == package / "starter" / "grounding.safetensors"


def test_without_a_home_nothing_is_listed_and_nothing_made(home):
    assert [weights.name for weights in list_weights() if weights.name != "starter"] == []
    assert not home.exists()


def test_the_home_is_the_platforms_unless_it_is_set(monkeypatch, home):
    assert weights_home() == home
    monkeypatch.delenv("SIMCROP_HOME")
    assert weights_home().parts[-2:] == ("simcrop", "weights")
    assert weights_home().is_absolute()


def test_a_swapped_file_is_noticed(home):
    write_grounding(home / "mine")
    (home / "mine" / "grounding.safetensors").rename(home / "mine" / "segmentation.safetensors")
    from simcrop_core.models.weights import load_segmentation_model

    with pytest.raises(IncompatibleWeights, match="other kind"):
        load_segmentation_model(resolve_weights("mine"))
