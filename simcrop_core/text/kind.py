"""What a sentence is for: a finding, a comparison, a recommendation, or how and why the scan was made."""

from __future__ import annotations

import re

from simcrop_core.results import Kind
from simcrop_core.text.headings import Section
from simcrop_core.text.lexicon import finding_mentions

_SCAN = r"(?:ct|ct scan|scans?|scanning|examinations?|study|studies|imaging|tomograph\w*|images?|sections?|slices?|acquisitions?|angiograph\w*"
_SCAN += r"|reconstructions?|reformat\w*|mips?|hrct|ctpa|cta|mdct|protocol|topogram|scout)"
_DONE = r"(?:performed|obtained|acquired|carried out|made|done|taken|generated|reconstructed|reformatted|reviewed|conducted|started|triggered)"

_RECOMMENDATION = re.compile(
    r"\brecommend\w*|\b(?:is|are|be) (?:\w+ly )?(?:advised|advisable|warranted|indicated)\b|\b(?:we|i) (?:advise|suggest|propose)\b"
    r"|\b(?:follow[- ]?up|control|repeat|biops\w+|pet\S*|mri|ct|ultraso\w+|correlation|evaluation|work-?up|sampling|bronchoscopy|referral"
    r"|surveillance|assessment|consultation|endoscopy|echocardiograph\w*)\b[^.;]{0,60}\b(?:suggested|should be|could be|may be (?:considered|helpful"
    r"|performed|useful|obtained)|would be|is needed|are needed|required|necessary|appropriate|can be (?:considered|performed|obtained))"
    r"|\bshould (?:be|undergo|have)\b[^.;]{0,40}\b(?:follow\w*|repeat\w*|considered|correlated|evaluated|assessed|biopsied|monitored|controlled"
    r"|investigated|checked|ct|mri|pet|biopsy|bronchoscopy|imaging)"
    r"|\b(?:clinical|laboratory|clinicolaboratory|clinical and laboratory|histopatholog\w+|patholog\w+|sonographic|ultrasound|mr) correlation\b"
    r"|(?:^|[,;] )(?:please |kindly )?(?:correlate|consider|suggest|advise|repeat|follow[- ]?up|recommend|refer|obtain|exclude|continue)\b"
    r"(?! (?:ct|scan|study|examination|imaging)? ?(?:shows?|showed|is stable|demonstrates?))"
    r"|\b(?:short|long|routine|annual|interval|further|next|yearly)[- ](?:term )?(?:follow[- ]?up|evaluation|control)\b"
    r"|\b(?:follow[- ]?up|control|repeat)\b[^.;]{0,30}\b(?:in|after|at|within) (?:\w+ )?(?:to |-)?(?:\w+ )?(?:days?|weeks?|months?|years?)\b"
    r"|\bif clinically (?:indicated|warranted|needed|relevant)\b|\b(?:\d+|three|six|twelve)[- ]months?[- ](?:follow|control|repeat)",
    re.IGNORECASE,
)
# "for which follow-up is advised": what comes before is a finding and its own sentence.
_ADVICE_CLAUSE = re.compile(r"[,;–—]|\b(?:for which|and (?=follow|biops|further|ct|pet|correlat)|which (?=should|warrants?|requires?|needs?))", re.I)
_REASON = re.compile(r"^\W*(?:given|because|in view of|due to|for|regarding|if|in case|as|since|considering|with respect|depending)\b", re.IGNORECASE)

_COMPARISON = re.compile(
    r"\bcompar(?:ed|ison|ing|ative)\b|\b(?:prior|previous|earlier|old|former|outside) (?:\w+ )?(?:ct\w*|scans?|stud(?:y|ies)|examinations?|exams?|imaging"
    r"|images|reports?|radiographs?|tomograph\w*)\b|\bsince (?:the )?(?:prior|previous|last|\d|january|february|march|april|may|june|july|august"
    r"|september|october|november|december)|\bpriors?\b"
    r"|\b(?:no|without) (?:\w+ )*(?:interval )?change\w*\b|^\W*(?:unchanged|stable|no change|as before|similar to before|status quo)\W*$"
    r"|\binterval change\b",
    re.IGNORECASE,
)
_TECHNIQUE = re.compile(
    rf"\b{_SCAN}\b[^.;]{{0,80}}\b(?:was|were|is|are|has been|have been) (?:\w+ly |also |then )?{_DONE}\b"
    r"|\b(?:msv|mgy\w*|dlp|ctdi\w*|kvp?|mas|kernel|collimation|pitch|tesla)\b|\bslice thickness\b|\bsection thickness\b"
    r"|\b(?:iv|intravenous|oral|non-?ionic|iodinated)\b[^.;]{0,40}\b(?:administ\w+|inject\w+|given|used)\b"
    r"|\b(?:contrast (?:medium|media|material|agent|injection)|iohexol|iopromide|iopamidol|omnipaque|ultravist)\b[^.;]{0,40}"
    r"\b(?:administ\w+|inject\w+|given|used|ml|cc)\b|\b(?:no|without)\b[^.;]{0,20}\bcontrast\b[^.;]{0,20}\b(?:administ\w+|inject\w+|given|used)\b"
    r"|\b(?:limited|suboptimal|degraded|hampered|impaired|non-?diagnostic|incomplete)\b[^.;]{0,60}\b(?:by|due to|because of|owing to|without|in the absence"
    r"|secondary to|for|as|since)\b[^.;]{0,60}\b(?:motion|artefact\w*|artifact\w*|contrast|breath\w*|noise|respirat\w+|non-?contrast|unenhanced"
    r"|technique|positioning|inspiration|opacification|habitus)"
    r"|\b(?:motion|breathing|respiratory|beam[- ]hardening|streak|metal\w*) (?:artefact|artifact)\w*"
    r"|\b(?:can ?not|could not|can't|couldn't|not) (?:be )?(?:\w+ly )?(?:evaluated|assessed|judged|commented|examined|measured|analy[sz]ed)\b"
    r"|\b(?:not (?:\w+ly )?(?:included|covered|imaged|scanned|contained)|outside|beyond|out of)\b(?: (?:in|by|of|on))?[^.;]{0,30}\b(?:field|scan\w*|sections?|study"
    r"|examination|range|images?|view|volume)\b"
    r"|\b(?:is|was|are|were) not (?:included|covered|imaged)\b|\bimage quality\b|\b(?:diagnostic|good|poor) quality\b|\b(?:deep |full |end-)?(?:in|ex)spiratory phase\b"
    r"|\b(?:electronically|digitally) signed\b|\bsigned by\b|\b(?:dictated|transcribed|reported|verified|approved|read) by\b|\bfinal report\b"
    r"|\bopacity settings\b|\bpart of the (?:examination|study)\b|\bwindow settings?\b",
    re.IGNORECASE,
)
_SCAN_TITLE = re.compile(
    rf"^\W*(?:(?:low[- ]dose|high[- ]resolution|multi-?detector|spiral|helical|non-?contrast|non-?enhanced|unenhanced|contrast[- ]enhanced|post-?contrast"
    rf"|thoracic|thorax|chest|pulmonary|lung|abdomen|abdominal|and|the|of|a|in|axial|coronal|sagittal|thin|mpr|plane|planes|{_SCAN}|angiography)\W+)*"
    rf"{_SCAN}(?:\W+(?:of|the|chest|thorax|lungs?|abdomen|and|pelvis))*"
    r"(?:\W+(?:with|without|before|after|following|and|or)(?:\W+(?:with|without|and|or|iv|intravenous|oral|contrast\w*|medium|media|material|enhancement|administration|of|the"
    r"|injection|agent))+)?\W*$",
    re.IGNORECASE,
)
_CONTRAST = re.compile(r"\b(?:with|without|after|before|following|no|non-?)\W*(?:\w+ ){0,3}contrast\b|\b(?:non-?contrast|unenhanced)\b", re.IGNORECASE)


def kind_of(text: str, section: Section = "findings") -> Kind:
    """What a sentence is for.

    A sentence that also names a finding of its own ("Nodule in the lingula, follow-up is advised") is a finding. How
    and why the scan was made, what limits it and who signed are all "technique", and so is clinical information:
    nothing of it is to be looked for in the scan.

    Args:
        text: the sentence.
        section: the part of the report it stands in; the technique, comparison and clinical sections decide alone.
    """
    if section in ("technique", "clinical information"):
        return "technique"
    if section == "comparison":
        return "comparison"
    advice = _RECOMMENDATION.search(text)
    if advice is not None:
        return "finding" if _finding_before(text, advice) else "recommendation"
    if _TECHNIQUE.search(text) or _SCAN_TITLE.match(text):
        return "technique"
    if not finding_mentions(text):
        if _COMPARISON.search(text):
            return "comparison"
        if _CONTRAST.search(text):
            return "technique"
    return "finding"


def _finding_before(text: str, advice: re.Match[str]) -> bool:
    """Whether a clause before the advice states a finding, rather than the reason for the advice."""
    ends = [match.start() for match in _ADVICE_CLAUSE.finditer(text[: advice.end()]) if match.start() <= advice.start()]
    statement = text[: max(ends)] if ends else ""
    return bool(finding_mentions(statement)) and _REASON.match(statement) is None
