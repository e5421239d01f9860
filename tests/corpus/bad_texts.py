"""Reports that are wrong or hostile in one way each: how they are made, and the code of their refusal, if any."""

from __future__ import annotations


def of(content):
    """A maker of a report with this content."""

    def make(folder):
        path = folder / "report.txt"
        path.write_bytes(content)
        return path

    return make


def folder_instead(folder):
    (folder / "report.txt").mkdir()
    return folder / "report.txt"


NOTHING, UNREADABLE = "nothing-to-ground", "unreadable-file"
REFUSED = {
    "report-empty": (of(b""), NOTHING),
    "report-blank": (of(b" \n\t\r\n  \n"), NOTHING),
    "report-mark-alone": (of(b"\xef\xbb\xbf"), NOTHING),
    "report-missing": (lambda folder: folder / "none.txt", UNREADABLE),
    "report-folder": (folder_instead, UNREADABLE),
    "report-utf-16": (of("Nodule.".encode("utf-16")), UNREADABLE),
    "report-latin-1": (of("Épanchement.".encode("latin-1")), UNREADABLE),
    "report-binary": (of(bytes(range(256)) * 16), UNREADABLE),
}
# Grounded all the same, or said to hold nothing: the words of nobody reach the page or the terminal as anything else.
ODD = {
    "report-control-characters": of(b"Nodule in the \x1b[31mleft\x00 lung\x07.\x08 No effusion.\n"),
    "report-html": of(b"<script>alert(1)</script> Nodule in the <b>left</b> lung & <img src=x onerror=alert(2)>."),
    "report-other-scripts": of("肺結節を左上葉に認める。 Узел в левом лёгком. عقدة في الرئة اليسرى.".encode()),
}
# A megabyte in one line, with and without sentences in it.
LONG = {
    "report-long-word": of(b"a" * 2**20),
    "report-long-line": of(b"nodule in the left lung " * 2**15),
    "report-many-sentences": of(b"Nodule in the left lung. " * 2**15),
}
