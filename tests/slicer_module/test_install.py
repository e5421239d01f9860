"""What the set-up page says and does, on real folders."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from SimCroPSlicerLib import install

pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")
import slicer_widgets  # noqa: F401  (Slicer's i18n)
from SimCroPSlicerLib.setup_words import check_before_start, describe

from simcrop_core.errors import MissingDependency

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
    text = describe(setup)
    assert "PyTorch: missing" in text
    assert "annotated-doc" in text
    assert "MB free" in text
    assert "GPU" in text
    assert all(f"{p.name} {p.wanted}" in text for p in setup.missing), "every package is named with its version"
    assert "server needs none" in text
    with pytest.raises(MissingDependency, match="PyTorch: missing"):
        check_before_start(setup)


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
    fake_package(install.staging(folder), "half", "1")
    assert deleted(folder) == []
    assert list(tmp_path.iterdir()) == []


def deleted(folder):
    steps = install.uninstalled(folder)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_a_file_that_cannot_be_deleted_is_named_and_the_rest_goes(tmp_path, monkeypatch):
    """As Windows does with a library that a program has open."""
    folder = tmp_path / "engine"
    fake_package(folder, "open", "1")
    fake_package(folder, "closed", "1")
    unlink = Path.unlink

    def refuse(path, *arguments, **named):
        if "open-1" in str(path):
            raise PermissionError(13, "used by another program", str(path))
        unlink(path, *arguments, **named)

    monkeypatch.setattr(Path, "unlink", refuse)
    (fault,) = deleted(folder)
    assert fault.filename.endswith("METADATA")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent.name for path in left] == ["open-1.dist-info"]
    monkeypatch.undo()
    assert deleted(folder) == []
    assert list(tmp_path.iterdir()) == []


def everything_in(folder, **other):
    for name, version in install.wanted_packages(REQUIREMENTS).items():
        fake_package(folder, name.replace("-", "_"), other.get(name, version))


def test_the_engine_is_started_only_where_it_can_start(tmp_path):
    """Missing, half installed, of another engine: said before a process is begun. Another version may do."""
    folder, slicers = tmp_path / "engine", tmp_path / "slicer"

    def looked():
        return install.look(REQUIREMENTS, folder, "1.0", python_path=[str(slicers)])

    whole_torch(slicers, "2.13.0+cpu")
    everything_in(slicers, pydicom="3.0.1")
    check_before_start(looked())
    assert [p.name for p in looked().missing] == ["pydicom"], "the engine would find Slicer's, which is another version"

    fake_package(folder, "pydicom", install.wanted_packages(REQUIREMENTS)["pydicom"])
    assert looked().ready, "what is in the engine's own folder comes first"
    (folder / "simcrop-engine.json").write_text('{"engine": "0.9"}')
    with pytest.raises(MissingDependency, match=r"0\.9"):
        check_before_start(looked())
    (folder / "simcrop-engine.json").unlink()
    (slicers / "nibabel-5.4.2.dist-info" / "METADATA").unlink()
    with pytest.raises(MissingDependency, match="1 package"):
        check_before_start(looked())
    (slicers / "torch" / "version.py").unlink()
    with pytest.raises(MissingDependency, match="interrupted") as fault:
        check_before_start(looked())
    assert "Set up" in fault.value.hint


def test_too_little_room_is_said_before_anything_is_fetched(tmp_path):
    setup = install.look(REQUIREMENTS, tmp_path / "engine", "1.0", python_path=[])
    assert setup.needed_mb >= install.ENGINE_MB + install.TORCH_CPU_MB
    full = dataclasses.replace(setup, free_mb=100)
    assert not full.fits
    assert f"{full.needed_mb} MB are needed" in describe(full)


def test_a_gpu_that_this_torch_cannot_use_is_said(tmp_path):
    setup = install.look(REQUIREMENTS, tmp_path, "1.0", python_path=[])
    wasted = dataclasses.replace(setup, torch="ready", torch_version="2.13.0+cpu", gpu=install.NVIDIA)
    assert "for the processor only" in describe(wasted)
    assert install.gpu_here(lambda _name: "/usr/bin/nvidia-smi") == (
        install.NVIDIA if sys.platform != "darwin" else install.gpu_here()
    )


def test_a_wheel_folder_is_looked_through_before_pip_is_asked(tmp_path):
    wanted = install.wanted_packages(REQUIREMENTS)
    for name, version in wanted.items():
        (tmp_path / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_bytes(b"")
    assert install.lacking_wheels(REQUIREMENTS, tmp_path) == []
    (tmp_path / f"fastapi-{wanted['fastapi']}-py3-none-any.whl").unlink()
    assert install.lacking_wheels(REQUIREMENTS, tmp_path) == [f"fastapi {wanted['fastapi']}"]


def tiny_wheel(folder, name, version, needs="torch"):
    """A wheel that says it needs torch, as some of the real ones do."""
    plain = name.replace("-", "_")
    info = f"{plain}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{plain}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{plain}_part.py", "ready = True\n")
        said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {needs}\n"
        archive.writestr(f"{info}/METADATA", said)
        if name == "torch":
            archive.writestr("torch/__init__.py", "")
            archive.writestr("torch/version.py", "")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


def test_pip_puts_the_whole_list_into_the_engines_folder_and_nowhere_else(tmp_path):
    """The real command, on a folder of wheels with the real names and versions, without network."""
    wheels, folder, slicers = tmp_path / "wheels", tmp_path / "engine", tmp_path / "slicer"
    wheels.mkdir()
    whole_torch(slicers, "2.13.0+cpu")
    for name, version in install.wanted_packages(REQUIREMENTS).items():
        tiny_wheel(wheels, name, version)
    command = install.install_command(sys.executable, REQUIREMENTS, folder, str(wheels))
    subprocess.run([command.program, *command.arguments], check=True, capture_output=True)
    assert not folder.exists(), "nothing is in place before all of it is there"
    install.adopt(folder, "1.0")
    setup = install.look(REQUIREMENTS, folder, "1.0", python_path=[str(slicers)])
    assert setup.ready
    assert not (folder / "torch").exists()
    tiny = tmp_path / "half"
    tiny.mkdir()
    broken = install.install_command(sys.executable, REQUIREMENTS, folder, str(tiny))
    assert subprocess.run([broken.program, *broken.arguments], capture_output=True).returncode != 0
    assert install.look(REQUIREMENTS, folder, "1.0", python_path=[str(slicers)]).ready, "a failure changes nothing"


def test_without_internet_torch_comes_from_the_wheel_folder_into_the_engines_own(tmp_path):
    """With what it needs, which the engine's list does not hold; Slicer's Python has none, and stays so."""
    wheels, folder, slicers = tmp_path / "wheels", tmp_path / "engine", tmp_path / "slicer"
    wheels.mkdir()
    for name, version in install.wanted_packages(REQUIREMENTS).items():
        tiny_wheel(wheels, name, version)
    assert not install.brings_torch(wheels)
    tiny_wheel(wheels, "torch", "2.13.0", needs="sympy")
    tiny_wheel(wheels, "sympy", "1.14.0", needs="tqdm")
    assert install.brings_torch(wheels)
    command = install.install_command(sys.executable, REQUIREMENTS, folder, str(wheels), torch=True)
    subprocess.run([command.program, *command.arguments], check=True, capture_output=True)
    install.adopt(folder, "1.0")
    setup = install.look(REQUIREMENTS, folder, "1.0", python_path=[str(slicers)])
    assert setup.ready
    assert (setup.torch, setup.slicers_torch) == ("ready", "missing")
    assert (folder / "sympy_part.py").is_file()
    check_before_start(setup)


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
