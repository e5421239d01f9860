"""Tensors into a module, all of them or none."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from simcrop_core.errors import IncompatibleWeights

_NAMED = 6


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], *, optional: Collection[str] = ()) -> None:
    """Copy tensors into a module whose keys and shapes they match.

    Args:
        module: takes the values, cast to its own types.
        state: by the module's key names.
        optional: keys that may be absent; the module keeps what it has there.

    Raises:
        IncompatibleWeights: a key is missing or unexpected, or a shape disagrees; nothing was copied.
    """
    own = module.state_dict()
    faults = {
        "missing": sorted(own.keys() - state.keys() - set(optional)),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": [
            f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
            for key in sorted(own.keys() & state.keys())
            if state[key].shape != own[key].shape
        ],
    }
    if any(faults.values()):
        raise IncompatibleWeights(
            "The weights do not fit the model: "
            + "; ".join(_told(kind, keys) for kind, keys in faults.items() if keys),
            hint="Check that the file's configuration is the one its tensors were trained with.",
        )
    module.load_state_dict(dict(state), strict=False)


def _told(kind: str, keys: list[str]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f"{len(keys)} {kind} ({', '.join(keys[:_NAMED])}{more})"
