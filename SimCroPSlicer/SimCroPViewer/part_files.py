"""Files in and out of the page, over the session's own web server."""

from __future__ import annotations

import asyncio
import hmac
import io
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from aiohttp import web
from SimCroPSlicerLib import provenance, scene
from SimCroPSlicerLib.geometry import affine_of
from SimCroPSlicerLib.report_file import report_text

from simcrop_core.errors import NothingToGround, SimCroPError
from simcrop_core.export.nifti import write_volume
from SimCroPViewer import files_in, pictures
from SimCroPViewer.bundle import write_bundle
from SimCroPViewer.proxy import SECRET_HEADER

if TYPE_CHECKING:
    from SimCroPViewer.app import Viewer

Made = Callable[[], Awaitable[bytes]]
_TYPES = {".png": "image/png", ".html": "text/html", ".csv": "text/csv", ".zip": "application/zip"}


class FilesPart:
    """Uploads and downloads.

    Args:
        viewer: whose scene and parts they are about.
        secret: that the front shows with each request.
    """

    def __init__(self, viewer: Viewer, secret: str) -> None:
        self._viewer = viewer
        self._desk = viewer.desk
        self._secret = secret
        self._made: dict[str, Made] = {
            "heatmap.nii.gz": self._heatmap,
            "segmentation.nii.gz": self._segmentation,
            "volumes.csv": self._volumes,
            "report.html": self._page,
            "results.zip": self._results,
            "scene.mrb": self._bundle,
            "views.png": self._picture,
        }

    def routes(self) -> list[web.RouteDef]:
        """For the session's web server."""
        return [web.post("/upload/{what}", self._upload), web.get("/export/{name}", self._export)]

    async def _upload(self, request: web.Request) -> web.Response:
        self._let_in(request)
        self._desk.busy("Receiving the file")
        self._desk.state.flush()
        try:
            file = await files_in.received(request)
            try:
                await self._taken(request.match_info["what"], file)
            finally:
                files_in.discard(file)
        except SimCroPError as fault:
            self._desk.idle()
            self._desk.fault(fault)
        self._desk.state.flush()
        # No content: the browser stays on the page.
        return web.Response(status=204)

    async def _taken(self, what: str, file: Path) -> None:
        if what == "report":
            self._desk.idle()
            self._viewer.report.take(report_text(file))
        else:
            await self._viewer.scan.opened(file)

    async def _export(self, request: web.Request) -> web.Response:
        self._let_in(request)
        name = request.match_info["name"]
        made = self._made.get(name)
        if made is None:
            raise web.HTTPNotFound
        try:
            data = await made()
        except SimCroPError as fault:
            self._desk.fault(fault)
            self._desk.state.flush()
            return web.Response(status=409, text=f"{fault.message} {fault.hint}")
        kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return web.Response(body=data, content_type=kind, headers=headers)

    def _let_in(self, request: web.Request) -> None:
        if not hmac.compare_digest(request.headers.get(SECRET_HEADER, "").encode(), self._secret.encode()):
            raise web.HTTPForbidden

    async def _heatmap(self) -> bytes:
        node = self._desk.display.current
        if node is None:
            raise NothingToGround("No heatmap is in view.", hint="Choose a sentence first.")
        words = provenance.fact(node, "sentence") or "heatmap"
        return await _nifti(scene.scores_of(node), affine_of(node), words)

    async def _segmentation(self) -> bytes:
        labels = self._viewer.segment.labels
        if labels is None or self._desk.volume is None:
            raise NothingToGround("Nothing is segmented yet.", hint="Press a button under Segment first.")
        return await _nifti(labels.labels, affine_of(self._desk.volume), "SimCroP segmentation")

    async def _volumes(self) -> bytes:
        lines = ["structure,volume_ml,mean_hu"]
        for name, volume_ml, mean_hu in self._viewer.segment.rows:
            lines.append(f"{name},{volume_ml:.2f},{'' if mean_hu is None else f'{mean_hu:.1f}'}")
        return ("\n".join(lines) + "\n").encode()

    async def _results(self) -> bytes:
        if self._desk.volume is None or not self._viewer.report.text:
            raise NothingToGround("There is no report to write down.", hint="Open a CT and paste a report first.")
        work = self._desk.logic.exported(self._desk.volume, report=self._viewer.report.text)
        return bytes(await self._desk.result("Writing the results", work))

    async def _page(self) -> bytes:
        with zipfile.ZipFile(io.BytesIO(await self._results())) as results:
            return results.read(next(name for name in results.namelist() if name.endswith("report.html")))

    async def _bundle(self) -> bytes:
        self._desk.busy("Writing the scene")
        self._desk.state.flush()
        try:
            with TemporaryDirectory(prefix="simcrop-view-") as folder:
                file = Path(folder) / "scene.mrb"
                await write_bundle(self._viewer.stage.scene, file)
                return await asyncio.to_thread(file.read_bytes)
        finally:
            self._desk.idle()
            self._desk.state.flush()

    async def _picture(self) -> bytes:
        grid = [[pictures.picture_of(view) for view in row] for row in self._viewer.stage.shown()]
        return await asyncio.to_thread(pictures.png, pictures.together(grid))


async def _nifti(voxels: Any, affine: Any, description: str) -> bytes:
    with TemporaryDirectory(prefix="simcrop-view-") as folder:
        file = Path(folder) / "volume.nii.gz"
        await asyncio.to_thread(write_volume, file, voxels, affine, description=description)
        return file.read_bytes()
