"""`simcrop view`: Slicer's own scene and views in a browser page, with the parts of the Slicer panel beside them.

Two kinds of process: the front (`front`), which owns the address, the token and the one engine, and a session a browser
tab (`session`), which owns a scene and its views. Only sessions import `slicer`.
"""

from __future__ import annotations

import sys
import types

# The module is part of Slicer's application and in no wheel; the words here are English.
_words = types.ModuleType("slicer.i18n")
_words.tr = lambda text, *_: text  # type: ignore[attr-defined]
_words.translate = lambda _context, text, *_: text  # type: ignore[attr-defined]
sys.modules.setdefault("slicer.i18n", _words)
