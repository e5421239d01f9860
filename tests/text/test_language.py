from __future__ import annotations

import pytest

from simcrop_core.text.language import is_english
from simcrop_core.text.reference import reference_sentences


@pytest.mark.parametrize(
    "text",
    [
        "Sağ akciğer üst lobda 5 mm çapında nodül izlendi.",
        "Plevral efüzyon saptanmadı.",
        "Kalp boyutlari normaldir. Mediastinal lenf nodu izlenmedi.",
        "Kein Nachweis eines Pleuraergusses.",
        "Rundherd im linken Oberlappen mit 6 mm.",
        "Unauffällige Lunge beidseits.",
        "Pas d'épanchement pleural. Nodule du lobe supérieur droit.",
        "Les poumons sont sans anomalie.",
        "No se observan nódulos pulmonares.",
        "Derrame pleural derecho.",
        "Nodulo del lobo superiore destro.",
        "Não há derrame pleural.",
        "Geen afwijkingen in de linker bovenkwab.",
        "双肺纹理增多，右肺上叶见结节。",
        "両肺に異常所見なし。",
        "В правом лёгком определяется узел.",
        "لا يوجد انصباب جنبي",
    ],
)
def test_a_report_in_another_language_is_told(text):
    assert not is_english(text)


@pytest.mark.parametrize(
    "text",
    [
        "Cardiomegaly.",
        "Situs inversus.",
        "No PE.",
        "Clear",
        "LA is dilated.",
        "Nodule (se 4, im 112).",
        "Schmörl nodes.",
        "COPD, GGO in RUL & LLL",
        "5 mm",
        "",
        "The ½ cm nodule measures ~450 µm² in section.",
        "Sequelae of old tuberculosis.",
        "Pectus excavatum; pes planus.",
    ],
)
def test_short_english_is_not_misjudged(text):
    assert is_english(text)


def test_every_reference_sentence_is_english():
    assert [s for s in reference_sentences() if not is_english(s)] == []


def test_one_foreign_word_does_not_make_an_english_report_foreign():
    assert is_english("The patient was seen by Dr. von der Heide. There is a nodule in the left upper lobe.")
