"""The words of a chest CT report that name something to be seen: findings, and what surgery and devices leave."""

from __future__ import annotations

from simcrop_core.text.rules import rule


def finding_mentions(text: str) -> list[tuple[int, int]]:
    """(start, end) of every word or phrase of `text` that names a finding, a device or a trace of surgery."""
    barred = [match.span() for match in rule("not_a_finding").finditer(text)]
    mentions = (match.span() for match in rule("findings").finditer(text))
    return [(start, end) for start, end in mentions if not any(a <= start < b for a, b in barred)]
