"""Sentences that wait at the same time go through the text encoder together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from simcrop_core.serve.lanes import Lane

# Eight sentences together cost a third of what they cost one by one (docs/serve.md), and hold the lane no longer than
# a person notices.
TOGETHER = 8


class Embedding:
    """Brings sentences into the encoder's memory, as many at once as wait; whose they are makes no difference.

    Args:
        lane: where the encoder runs.
        encode: the encoder, which remembers.
    """

    def __init__(self, lane: Lane, encode: Callable[[Sequence[str]], object]) -> None:
        self._lane = lane
        self._encode = encode
        self._waiting: deque[str] = deque()

    async def read(self, key: str, text: str) -> None:
        """Embed a sentence, with those of others that wait.

        Args:
            key: whose turn it takes.
            text: what to embed.
        """
        self._waiting.append(text)
        await self._lane.run(key, self._read_waiting)

    def _read_waiting(self) -> None:
        texts = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
        if texts:
            self._encode(texts)
