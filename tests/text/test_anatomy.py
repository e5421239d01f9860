from __future__ import annotations

import pytest

from simcrop_core.text.anatomy import region_of


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("Nodule in the right thyroid lobe.", "neck"),
        ("Enlarged cervical lymph nodes.", "neck"),
        ("Degenerative change at C5-6.", "neck"),
        ("Goitre extending into the mediastinum from the thyroid.", "chest"),
        ("Nodule in the lingula.", "chest"),
        ("Blunted costophrenic sinus.", "chest"),
        ("Compression fracture of T8.", "chest"),
        ("Hiatal hernia with part of the stomach in the chest.", "chest"),
        ("Cyst in the liver.", "upper abdomen"),
        ("Aneurysm of the abdominal aorta.", "upper abdomen"),
        ("Gallstones.", "upper abdomen"),
        ("Left adrenal adenoma.", "upper abdomen"),
        ("Stone in the left kidney.", "kidneys"),
        ("The renal pelvis is dilated.", "kidneys"),
        ("Thickened wall of the urinary bladder.", "lower abdomen"),
        ("The prostate is enlarged.", "lower abdomen"),
        ("Spondylolisthesis at L4/5.", "lower abdomen"),
        ("Appendicitis.", "lower abdomen"),
        ("Metastasis in the brain.", "head"),
        ("Mucosal thickening of the maxillary sinus.", "head"),
        ("Fracture of the femoral neck.", "limbs"),
        ("On the other hand, the nodule is smaller.", None),
        ("Unchanged.", None),
        ("Diffuse osteopenia.", None),
    ],
)
def test_a_sentence_is_placed_in_the_body(text, region):
    assert region_of(text) == region
