"""What the set-up page says and does, on real folders."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from SimCroPSlicerLib import install

REQUIREMENTS = Path(__file__).parents[2] / "SimCroPSlicer" / "Resources" / "requirements.txt"


def fake_package(folder, name, version):
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def whole_torch(folder, version):
    fake_package(folder, "torch", version)
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text("")
    (folder / "torch" / "version.py").write_text("")


def test_an_empty_folder_misses_everything_and_says_what(tmp_path):
    setup = install.look(REQUIREMENTS, tmp_path / "engine", "1.0", python_path=[str(tmp_path)])
    assert not setup.ready
    assert setup.torch == "missing"
    assert {p.name for p in setup.missing} == set(install.wanted_packages(REQUIREMENTS))
    text = install.describe(setup)
    assert "PyTorch: missing" in text
    assert "annotated-doc" in text
    assert "MB free" in text


def test_versions_count_and_spelling_does_not(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text('# comment\nPyYAML==6.0\nJinja2==3.1\ncolorama==1.0 ; sys_platform == "no such system"\n')
    whole_torch(tmp_path / "slicer", "2.13.0+cpu")
    fake_package(tmp_path / "engine", "pyyaml", "6.0")
    fake_package(tmp_path / "engine", "jinja2", "3.0")
    setup = install.look(requirements, tmp_path / "engine", "1.0", python_path=[str(tmp_path / "slicer")])
    assert [(p.name, p.found) for p in setup.missing] == [("Jinja2", "3.0")]
    assert setup.torch == "ready"


@pytest.mark.parametrize(("broken", "state"), [("metadata", "half installed"), ("code", "half installed")])
def test_a_torch_whose_installation_was_interrupted_is_noticed(tmp_path, broken, state):
    if broken == "metadata":
        (tmp_path / "torch" / "lib").mkdir(parents=True)
    else:
        fake_package(tmp_path, "torch", "2.13.0")
        (tmp_path / "torch").mkdir()
    assert install.torch_state([str(tmp_path)])[0] == state


def test_an_old_torch_is_too_old(tmp_path):
    whole_torch(tmp_path, "2.9.1")
    assert install.torch_state([str(tmp_path)]) == ("too old", "2.9.1")


def test_an_installation_takes_the_place_of_the_old_one_only_when_it_is_whole(tmp_path):
    folder = tmp_path / "engine"
    fake_package(folder, "old", "1")
    fake_package(install.staging(folder), "new", "2")
    assert (folder / "old-1.dist-info").is_dir()
    install.adopt(folder, "1.0")
    assert not (folder / "old-1.dist-info").exists()
    assert (folder / "new-2.dist-info").is_dir()
    assert install.look(REQUIREMENTS, folder, "1.0").other_version is None
    assert install.look(REQUIREMENTS, folder, "1.1").other_version == "1.0"
    install.uninstall(folder)
    assert list(tmp_path.iterdir()) == []


def test_pip_puts_a_package_into_the_engines_folder_and_nowhere_else(tmp_path):
    """The real command on a wheel folder without network: nothing that is installed already is looked at or changed."""
    wheels, project = tmp_path / "wheels", tmp_path / "project"
    project.mkdir()
    wheel = wheels / "tinypart-1.0-py3-none-any.whl"
    wheels.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinypart.py", "ready = True\n")
        info = "tinypart-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinypart\nVersion: 1.0\nRequires-Dist: torch\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("tinypart==1.0\n")
    folder = tmp_path / "engine"
    command = install.install_command(sys.executable, requirements, folder, str(wheels))
    subprocess.run([command.program, *command.arguments], check=True, capture_output=True)
    install.adopt(folder, "1.0")
    setup = install.look(requirements, folder, "1.0")
    assert setup.missing == []
    assert not (folder / "torch").exists()


def test_the_folder_is_the_platforms_own_and_one_for_each_python(tmp_path):
    name = f"slicer-engine-py{sys.version_info.major}{sys.version_info.minor}"
    assert install.engine_folder({"SIMCROP_HOME": str(tmp_path)}) == tmp_path / name
    assert install.engine_folder({"LOCALAPPDATA": str(tmp_path)}, "win32") == tmp_path / "simcrop" / name
    assert install.engine_folder({"XDG_DATA_HOME": str(tmp_path)}, "linux") == tmp_path / "simcrop" / name
    assert "Application Support" in str(install.engine_folder({}, "darwin"))


def test_the_engine_has_its_folder_on_its_own_path_and_no_console_script(tmp_path):
    folder = tmp_path / "engine"
    folder.mkdir()
    command = install.engine_command("python", tmp_path / "source", folder, device="cpu", parent_pid=7)
    assert command.arguments[:3] == ("-m", "simcrop_core.cli", "serve")
    assert str(folder) in command.environment["PYTHONPATH"]
    assert command.arguments[-2:] == ("--parent-pid", "7")
