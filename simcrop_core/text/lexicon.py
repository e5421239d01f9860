"""The words of a chest CT report that name something to be seen: findings, and what surgery and devices leave."""

from __future__ import annotations

import re

# Stems; `*` stands for any ending. British and American spellings both.
_FINDINGS = """
aberrant ablat* abnormal* abscess* accessory adeno(ma|carcinoma)* adenopath* aerocele agenesis air-fluid
air[-\\s]?bronchogram* air[-\\s]trapping anastomos* aneurysm* anomal* aplasia arthr(itis|osis|opathy|itic) asbestos*
ascites aspirat* atelecta* atheroma* atheroscl* atroph* azygos[-\\s]lobe
bands? blebs? bronchiecta* bronchiolecta* bronchiolitis bronchitis bronchocel* bull(a|ae|ous)
calcifi* calcul(us|i) cancer* carcinom* cardiomegaly catheter* cavit(y|ies|ary|ation|ating|ated)
chole(cyst)?lithiasis clips? coarctation collaps* collections? compress(ion|ed|es) congesti* consolidat* contusion*
crazy[-\\s]paving cyst(s|ic)? defects? deform* degenerati* dehiscence densities density[-\\s]increase*
increased[-\\s]density destructi* deviat* dilat* diseases? displac* dissect* diverticul* drains?
ectasi* ectatic edema* effusion* electrodes? elevat* elongat* embol* emphysem* empyema* encas* enlarg* erosi* eventration
extravasat*
fat[-\\s]stranding fatty fibro* filling[-\\s]defect* fistula* flattening fluid foci focus foreign[-\\s]bod* fractur*
free[-\\s](air|gas|fluid)
gallstone* ggns? ggos? goit(re|er)s? grafts? granulom* ground[-\\s]?glass gyna?ecomastia
halo hamartoma* ha?emangioma* ha?ematoma* ha?emorrhag* ha?emothora* height[-\\s]loss hemidiaphragm[-\\s]elevation hepatomegaly
hernia* honeycomb* hydronephrosis hydropneumothora* hyperaerat* hyperattenuat* hyperdens* hyperinflat* hyperplasia
hypertroph* hyperlucen* hypoattenuat* hypodens* hypoplas*
impact(ion|ions|ed) implants? infarct* infect* infiltrat* inflammat* injur* interstitial invad* invasi* irregular*
kyphosis kyphoscoliosis
lacerat* leads? lesions? lines? linear lipoma* lobectom* lobulat* loss[-\\s]of[-\\s](height|volume) lymphadenopath* lymphoma* lytic
malformation* malignan* mass(es)? mastectom* metasta* micronodul* mosaic mucocel* muc(us|oid)[-\\s]?plug* mucus myeloma
narrow(ing|ed|s) neoplas* nodul* nodes?[-\\s]enlargement
obliterat* obstruct* occlu* oedema* old[-\\s]rib opacification opacit* osteo(penia|porosis|porotic|penic|phyt\\w*|lytic|blastic|arthritis)
pacemaker* patent[-\\s]foramen patholog* penetrating[-\\s]ulcer* plaques? plates? plugg(ed|ing) plugs? pneumatocel* pneumobilia pneumomediastin*
pneumonectom* pneumonia* pneumonic pneumonitis pneumopericardi* pneumoperitone* pneumothora* polyp* port post-?operative post-?surgical
post-?radiation post-?thoracotomy process prominen* prosthe* pseudoaneurysm* pulmonary[-\\s]hypertension
recurren* reflux resect* residu(al|um) reticular reticulation* reticulonodular right-sided[-\\s](aortic[-\\s])?arch right[-\\s]aortic[-\\s]arch
rupture*
sarcoid* scar(s|ring|red)? schmorl* sclero(sis|tic) scoliosis secretion* septal sequela* sequestrat* shift* silicosis
situs[-\\s]inversus soft[-\\s]tissue[-\\s](mass|nodule|component)* spicul* spiculat* splenomegaly spondyl* stapl(es|e) steatosis stenos* stenotic
stents? sternotom* stones? strands? stranding sutur* subsegmental[-\\s]band* syndesmophyt*
telangiectas* thicken* thoracotom* thrombo* thrombus thrombi thymoma tortuo* tracheostom* tree-in-bud traction tubercul* tubes? tumou?r*
ulcer* unfolded unfolding
varic(es|osities) varix variants? volume[-\\s]loss widen* wires?
"""


def _pattern(stem: str) -> str:
    return stem.replace("*", r"\w*")


_FINDING = re.compile(r"(?<![\w-])(?:" + "|".join(_pattern(stem) for stem in _FINDINGS.split()) + r")(?!\w)", re.IGNORECASE)
# Words above that say something else here.
_NOT_A_FINDING = re.compile(
    r"\b(?:(?:mid|para)?clavicular|paravertebral|axillary|hair|guide) lines?\b"
    r"|\b(?:disease|process)[- ]free\b|\bport(?:al)? phase\b|\b(?:xiphoid|spinous|transverse|coracoid|uncinate) process\w*",
    re.IGNORECASE,
)


def finding_mentions(text: str) -> list[tuple[int, int]]:
    """(start, end) of every word or phrase of `text` that names a finding, a device or a trace of surgery."""
    barred = [match.span() for match in _NOT_A_FINDING.finditer(text)]
    mentions = (match.span() for match in _FINDING.finditer(text))
    return [(start, end) for start, end in mentions if not any(a <= start < b for a, b in barred)]
