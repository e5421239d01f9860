from __future__ import annotations

import pytest

from simcrop_core.text.image_reference import image_reference_in


@pytest.mark.parametrize(
    ("text", "series", "image"),
    [
        ("Nodule in the lingula (series 4, image 112).", 4, 112),
        ("Nodule (Series 4; Images 112-118).", 4, 112),
        ("nodule, se 4 im 112", 4, 112),
        ("nodule [Se:4/Im:112]", 4, 112),
        ("nodule (se. 4, img. 112)", 4, 112),
        ("nodule (ser 302 ima 87)", 302, 87),
        ("nodule (4/112)", 4, 112),
        ("see image 112 of series 4", 4, 112),
        ("see image #112 on series #4", 4, 112),
        ("nodule (image 112)", None, 112),
        ("nodule, slice 57", None, 57),
        ("nodule, image no. 9", None, 9),
    ],
)
def test_a_reference_is_read(text, series, image):
    reference = image_reference_in(text)
    assert reference is not None
    assert (reference.series, reference.image) == (series, image)


@pytest.mark.parametrize(
    "text",
    [
        "Slice thickness 1 mm.",
        "Images of 1.25 mm were obtained.",
        "Slices 5 mm apart.",
        "Compared with the CT (03/2021).",
        "Imaging 3 months ago.",
        "A series of 4 nodules.",
        "Nodule of 4/5 mm.",
        "Maximum 12 mm.",
    ],
)
def test_other_numbers_are_no_reference(text):
    assert image_reference_in(text) is None
