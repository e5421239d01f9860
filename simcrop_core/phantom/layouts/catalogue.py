"""Every layout by its name on the command line."""

from __future__ import annotations

from collections.abc import Mapping

from simcrop_core.phantom.layouts import btcv, cc_ccii, ct_rate, luna16, rad_chestct, rexgrounding
from simcrop_core.phantom.layouts.layout import Layout
from simcrop_core.phantom.layouts.settings import LayoutName

LAYOUTS: Mapping[LayoutName, Layout] = {
    "ct-rate": ct_rate,
    "rad-chestct": rad_chestct,
    "cc-ccii": cc_ccii,
    "luna16": luna16,
    "btcv": btcv,
    "rexgrounding": rexgrounding,
}
