"""Torch through Slicer's PyTorch extension: it knows which build fits the computer's GPU."""

from __future__ import annotations

from slicer.i18n import tr as _

from SimCroPSlicerLib.install import TORCH_AT_LEAST


def install_torch() -> str:
    """Install torch with the extension's own dialog; what went wrong, or ""."""
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        return _("The PyTorch extension is needed: install it in the Extensions Manager and restart Slicer.")
    wanted = ">=" + ".".join(map(str, TORCH_AT_LEAST))
    logic = PyTorchUtils.PyTorchUtilsLogic()
    torch = logic.installTorch(askConfirmation=False, torchVersionRequirement=wanted)
    return "" if torch is not None else _("PyTorch could not be installed; see Slicer's log.")
