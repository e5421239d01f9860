"""Files dropped anywhere on the page: a report or a scan, by their names."""

from __future__ import annotations

from SimCroPViewer.page_widgets import FILE_BOX, upload_form

# What `page_parts` offers as a report; everything else is a scan, and refused in words if it is none.
_REPORT = r"/\.(txt|json|sr)$/i"


def dropping() -> list[str]:
    """Attributes of the element that files may be dropped on; it holds the forms that send them.

    A box for files takes what is dropped on it itself.
    """
    files = "$event.dataTransfer.files"
    is_report = f"{files}.length === 1 && {_REPORT}.test({files}[0].name)"
    form = f"{is_report} ? '.{upload_form('report')}' : '.{upload_form('scan')}'"
    send = "form => { form.elements.file.files = $event.dataTransfer.files; form.submit(); form.reset() }"
    elsewhere = f"!$event.target.closest('.{FILE_BOX}')"
    return [
        f'@dragover="{elsewhere} && $event.preventDefault()"',
        f'@drop="{elsewhere} && ($event.preventDefault(), {files}.length && '
        f'({send})($event.currentTarget.querySelector({form})))"',
    ]
