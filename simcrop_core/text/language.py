"""Whether a text is English, the one language the rules and the text towers read."""

from __future__ import annotations

import re
import unicodedata

# Common words of reports in the languages most often met; none is also an English word.
_FOREIGN = frozenset(
    # Turkish
    """akciğer akciğerde akciğerin akcigerde akciger sağ sag üst alt orta lob lobda lobunda lobun izlendi izlenmektedir izlenmedi izlenmemiştir
    saptanmadı saptandı mevcuttur görülmedi görülmektedir ve bir ile plevral efüzyon nodül boyutu çapında kalp boyutları normaldir
    doğal olup her iki hilus mediasten mediastinal trakea açıktır olarak
    """
    # German
    """der das und nicht kein keine keinen keiner eine einer eines einem mit ohne im zum zur bei beidseits links rechts lunge lungen
    oberlappen unterlappen mittellappen rechten linken rechte linke herz pleuraerguss rundherd rundherde nachweis kein hinweis auf
    unauffällig unauffällige vergrößert verdickung größe beurteilung befund
    """
    # French
    """le les du une et est sont dans avec sans pas pour droit droite gauche lobe-supérieur supérieur inférieur poumon poumons pulmonaire
    pulmonaires épanchement pleurale nodules-pulmonaires absence-de cœur visualisé mise évidence aucune aucun anomalie
    """
    # Spanish
    """el los las una uno y con sin se en pulmón pulmones pulmonar derecho derecha izquierdo izquierda lóbulo superior-derecho derrame
    nódulo nódulos corazón observa observan evidencia-de hallazgos tamaño ganglios
    """
    # Italian and Portuguese
    """il gli della nel nella dei polmone polmonare destro destra sinistro sinistra lobo versamento pleurico noduli senza
    não há com sem pulmão pulmões direito esquerdo direita esquerda nódulos
    """
    # Dutch
    """het een geen niet met zonder bij links rechter linker longen onderkwab bovenkwab pleuravocht afwijkingen
    """.split()
)
_ENGLISH = frozenset(
    """the of and in is are was with no not there without to at on for from which has have been seen right left upper lower
    lobe lung lungs nodule effusion normal mild small large heart size chest bilateral both within measuring evidence unchanged
    stable new multiple opacity opacities thickening consolidation mass pleural lymph nodes shows show likely""".split()
)
_LETTERS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
# Letters that these languages use and English does not, not even in names of signs and of people often met in reports.
_FOREIGN_LETTERS = frozenset("ğşıİçñßõãœæąęłżćčšžőű")


def is_english(text: str) -> bool:
    """Whether a report or a sentence is in English.

    A text in another script is not. In Latin script the common words of English and of other languages are counted;
    a short text without any of either, such as "Situs inversus.", is taken as English.
    """
    letters = [letter for letter in text if letter.isalpha()]
    if not letters:
        return True
    latin = sum("LATIN" in unicodedata.name(letter, "") or letter in "µμ" for letter in letters)
    if latin < 0.7 * len(letters):
        return False
    words = _LETTERS.findall(text)
    # Capitals are abbreviations ("LA": left atrium) unless all is in capitals.
    shouted = text.isupper()
    plain = [word.lower() for word in words if shouted or not word.isupper() or len(word) == 1]
    foreign = sum(word in _FOREIGN or not _FOREIGN_LETTERS.isdisjoint(word) for word in plain)
    english = sum(word in _ENGLISH for word in plain)
    return foreign <= english
