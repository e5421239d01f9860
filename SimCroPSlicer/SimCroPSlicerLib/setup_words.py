"""The set-up page's words: what the engine needs, what of it is missing, and why it is not started."""

from __future__ import annotations

from slicer.i18n import tr as _

from simcrop_core.errors import MissingDependency
from SimCroPSlicerLib.install import ENGINE_MB, TORCH_AT_LEAST, TORCH_CPU_MB, TORCH_CUDA_MB, SetUp


def describe(setup: SetUp) -> str:
    """The set-up page's words: what is there, what is missing, how large it is."""
    least = ".".join(map(str, TORCH_AT_LEAST))
    words = {
        "ready": _("PyTorch {version}: ready."),
        "missing": _("PyTorch: missing (about {cpu} MB for a processor, {gpu} MB for an NVIDIA GPU)."),
        "half installed": _("PyTorch {version}: an installation was interrupted; it has to be repeated."),
        "too old": _("PyTorch {version}: at least {least} is needed."),
    }
    about = {"version": setup.torch_version, "cpu": TORCH_CPU_MB, "gpu": TORCH_CUDA_MB, "least": least}
    lines = [words[setup.torch].format(**about)]
    lines.append(
        _("GPU: {kind}.").format(kind=setup.gpu) if setup.gpu else _("GPU: none found; the processor is used.")
    )
    if setup.missing:
        names = ", ".join(f"{package.name} {package.wanted}" for package in setup.missing)
        text = _("{count} package(s) missing, about {size} MB: {names}.")
        lines.append(text.format(count=len(setup.missing), size=ENGINE_MB, names=names))
    else:
        lines.append(_("All {count} packages are there.").format(count=len(setup.packages)))
    if setup.other_version is not None:
        text = _("The folder was made for engine {version}: it has to be set up again.")
        lines.append(text.format(version=setup.other_version))
    lines.append(_("Folder: {folder} ({free} MB free).").format(folder=setup.folder, free=setup.free_mb))
    if not setup.fits:
        text = _("That is too little: {needed} MB are needed. Make room, or set SIMCROP_HOME to another disk.")
        lines.append(text.format(needed=setup.needed_mb))
    lines.append(_("A server needs none of this: name it above instead."))
    return "\n".join([*lines, *_warnings(setup)])


def check_before_start(setup: SetUp) -> None:
    """Refuse to start an engine that could only fail.

    Raises:
        MissingDependency: with what is missing.
    """
    if setup.can_start:
        return
    if setup.other_version is not None:
        words = _("The engine was set up for version {version}.").format(version=setup.other_version)
    elif setup.torch != "ready":
        words = describe(setup).splitlines()[0]
    else:
        absent = [package.name for package in setup.packages if package.found is None]
        words = _("{count} package(s) of the engine are missing.").format(count=len(absent))
    hint = _("Engine, Set up… fetches what is missing, after asking. A server needs none of it: name it there instead.")
    raise MissingDependency(words, hint=hint)


def _warnings(setup: SetUp) -> list[str]:
    warnings = []
    if setup.path_is_long:
        warnings.append(
            _("The folder's path is long; Windows may refuse files in it. Set SIMCROP_HOME to a short folder.")
        )
    if setup.gpu_is_wasted:
        warnings.append(
            _("There is an NVIDIA GPU, but this PyTorch is for the processor only: install it anew in PyTorch Util.")
        )
    return warnings
