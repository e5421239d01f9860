"""What is said of an element to those who do not see it; trame's widgets have no words of their own for it."""

from __future__ import annotations

from typing import Any


def aria(label: str = "", *more: str, role: str = "", **states: str) -> dict[str, Any]:
    """Attributes of a widget.

    Args:
        label: its name.
        more: attributes as they are written in the page.
        role: where the element's own does not say what it is.
        states: name → expression on the page's state, such as `pressed="layout === 'Axial'"`.
    """
    written = [f'aria-label="{label}"'] if label else []
    written += [f'role="{role}"'] if role else []
    written += [f':aria-{name}="{expression}"' for name, expression in states.items()]
    return {"raw_attrs": [*written, *more]}


# What changes by itself is read out when there is a pause.
POLITE = aria("", 'aria-live="polite"')
