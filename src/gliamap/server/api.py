"""The web app's interface: JSON over HTTP, for the page in ``static/`` and nobody else.

Every request needs the session cookie, but for ``/``, ``/enter``, ``/static/…`` and ``POST /api/login``. Requests that
change something need the header ``Origin`` of the app itself (browsers send it). Pages may load scripts, styles and
images from the app itself only (no inline script, no inline style, no eval).

Pages
    ``GET /``                       ``static/index.html``; without a session ``static/locked.html`` (open the link of
                                    the terminal), or ``static/login.html`` where a password is set: both status 401
    ``GET /enter?token=…``          the one-time link: sets the cookie, then goes to ``/``; ``locked.html`` (403) where
                                    it is used up
    ``GET /static/NAME``            files of ``static/``, flat, ``[a-z0-9_.-]``: js, css, svg, png

Interface
    ``POST   /api/login``           ``{"password": …}`` -> 204 and the cookie; 403; 429 with ``Retry-After`` (seconds)
    ``POST   /api/logout``          204
    ``GET    /api/info``            LIMITS below
    ``GET    /api/models``          ``{"models": [MODEL, …]}``
    ``GET    /api/browse?root=0&path=a/b``   LISTING of a folder under an allowed root; ``roots`` are in LIMITS
    ``GET    /api/cases``           ``{"cases": [CASE, …]}``, newest first
    ``POST   /api/cases``           ``{"title": ""}`` or an empty body -> 201 CASE
    ``GET    /api/cases/ID``        CASE
    ``PATCH  /api/cases/ID``        any of ``{"title": "…", "model": "NAME" | null, "modalities": {"1": "t1c"},
                                    "options": {"flips": true}}`` -> CASE; 409 while queued or running.
                                    The result of a case that is ``done`` stays until it is started again
    ``DELETE /api/cases/ID``        204; ends a running job first
    ``PUT    /api/cases/ID/files/N``   the file's bytes as the body, N from 1 (one that is there is replaced); header
                                    ``X-File-Name``: its name, percent-encoded UTF-8, with folders where known
                                    (``scan/t1.nii.gz``); tells the modality, is never a path -> CASE. A zip takes the
                                    next free numbers from N on, one for each image in it; after 999 comes 1
    ``POST   /api/cases/ID/files``  the same; the first number that is free is given by the app
    ``DELETE /api/cases/ID/files/N``   -> CASE
    ``POST   /api/cases/ID/from``   ``{"root": 0, "path": "a/b"}``: a folder's images (its own, not those of folders in
                                    it), or one file, copied in -> CASE
    ``POST   /api/cases/ID/start``  202 CASE, now ``queued`` or ``running``; 409 where not ``ready``; 503 queue full
    ``POST   /api/cases/ID/cancel`` CASE, now ``cancelled`` (only answered once the job has ended)
    ``GET    /api/cases/ID/events`` server-sent events: ``event: case``, ``data: CASE`` at once and after each change
                                    (only the newest state where the reader is slow); ``event: gone`` once deleted;
                                    ``event: beat`` after 15 s of silence. Ends with the session
    ``GET    /api/events``          the same of all cases: ``event: cases``, ``data: {"cases": [CASE, …]}`` at once,
                                    then ``event: changes``, ``data: {"cases": [CASE, …], "gone": ["ID", …]}`` with
                                    those that changed and those that were deleted
    ``GET    /api/cases/ID/mask|numbers|report|picture``   the files of a case that is ``done``; ``?download=1``: to be
                                    saved (``Content-Disposition: attachment``). The report runs in a sandbox of its own
                                    and may be shown in an ``<iframe sandbox="allow-scripts">`` or its own tab

CASE::

    {"id": "26 letters of a-z2-7", "title": "", "created": "2026-11-22T07:40:12.345678+00:00", "version": 7,
     "state": "new" | "queued" | "running" | "done" | "failed" | "cancelled" | "interrupted",
     "files": [{"number": 1, "name": "BraTS_t1ce.nii.gz" | null, "bytes": 2612345, "modality": "t1c" | null,
                "told_by": "name" | "hand" | "mask-name" | "unknown",
                "grid": {"shape": [240, 240, 155], "spacing": [1.0, 1.0, 1.0], "unit": "mm" | "px"}}],
     "model": "NAME" | null,
     "options": {"flips": false, "uncertainty": false, "force": false, "resample_to": null},
     "problems": [{"code": "missing-modality", "text": "plain words", "blocking": true}],
     "ready": true,
     "job": null | {"position": 0, "stage": "waiting" | "start" | "read" | "network" | "write" | "end",
                    "share": 0.42, "seconds_left": 12.3 | null, "seconds": 20.1},
     "error": null | ERROR,
     "result": null | {"regions": {"WT": 83.1, "TC": 30.2}, "unit": "mL" | "pixels", "seconds": 12.9,
                       "warnings": [{"code": "…", "text": "…"}], "files": ["mask", "numbers", "report", "picture"]}}

``name`` is known until the app ends: names often tell who the patient is, so they are never written to the disk.
``position``: jobs before this one; ``share`` in 0..1 of the whole job. ``version`` grows with each change.
``interrupted``: the app ended while the job waited or ran; it can be started again, like failed and cancelled ones.

MODEL::

    {"name": "phantom-demo", "modalities": ["t1", "t1c"], "may_be_missing": [], "dims": 2 | 3,
     "foreground": "brain" | "head", "regions": ["WT", "TC", "ET"], "phantom_only": true}

LISTING::

    {"root": 0, "path": "a/b", "folders": [{"name": "c"}], "files": [{"name": "t1.nii.gz", "bytes": 123}],
     "more": false}     # path "" is the root itself; hidden names, links and other kinds of files are not shown

LIMITS::

    {"version": "1.0", "roots": ["scans"], "modalities": ["t1", "t1c", "t2", "flair"], "password": false,
     "choosing": true (a case without a model is segmented by the one that comes along and fits),
     "limits": {"file_bytes": 1073741824, "case_bytes": 4294967296, "files": 64, "cases": 1000, "queue": 16,
                "title": 80}, "kinds": [".nii", ".nii.gz", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".zip"]}

ERROR, also the body ``{"error": ERROR}`` of every answer from 400 on::

    {"code": "too-large", "what": "…", "found": "…" | null, "expected": "…" | null, "remedy": "…" | null}

Codes: ``bad-request``, ``signed-out`` (401), ``wrong-password``, ``forbidden`` (403), ``not-found`` (404), ``not-now``
(409: the state does not allow it), ``too-large`` (413), ``refused`` (422: the file is not what it should be),
``too-often`` (429), ``full`` (503: queue, cases or disk), ``slow`` (408: the upload stood still), ``failed`` (a job).
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse, HTMLResponse

from gliamap.config import Settings
from gliamap.server.asked import body, chunks, declared_bytes, desk_of, number_of, parsed, signed_in, with_cookie
from gliamap.server.browse import list_folder
from gliamap.server.desk import CaseChange
from gliamap.server.gate import REPORT_HEADERS, cookie_name, read_cookie
from gliamap.server.intake import FREE, KINDS, Arrival, client_name
from gliamap.server.refusal import Answer, Refused
from gliamap.server.results import find_output
from gliamap.server.watch import watch


class Titled(Settings):
    """The body of a new case."""

    title: str = ""


class Folder(Settings):
    """A place under an allowed root."""

    root: int
    path: str = ""


class Password(Settings):
    """The body of a login."""

    password: str


router = APIRouter(prefix="/api")

_PAUSE = 0.3  # seconds between two events that tell of all cases

# Shown in the place of the report, where browsers have but a page of their own for an answer without words.
_NO_REPORT = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<title>No report</title><style>body { margin: 2rem; font: 1rem/1.5 system-ui, sans-serif }</style>
<p>The report of this case is not on the disk any more. Start the case again to make it anew.</p></html>"""


@router.post("/login")
async def login(request: Request) -> Response:
    """Sign in with the password."""
    desk, said = desk_of(request), await body(request, Password)
    address = request.client.host if request.client else ""
    cookie = await desk.sessions.login(said.password, address)
    return with_cookie(Response(status_code=204), desk, cookie)


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End the session."""
    desk = desk_of(request)
    name = cookie_name(desk.settings)
    desk.sessions.logout(read_cookie(request.headers, name) or "")
    desk.cases.wake()
    answer = Response(status_code=204)
    answer.delete_cookie(name, httponly=True, samesite="strict")
    return answer


@router.get("/info")
async def info(request: Request) -> Response:
    """What the page must know of the app."""
    desk = desk_of(request)
    limits = desk.settings.limits
    told = {name: getattr(limits, name) for name in ("file_bytes", "case_bytes", "files", "cases", "queue", "title")}
    return Answer(
        {
            "version": version("gliamap"),
            "roots": [root.name or str(root) for root in desk.settings.roots],
            "modalities": desk.modalities,
            "password": desk.sessions.by_password,
            "choosing": desk.settings.choosing,
            "limits": told,
            "kinds": KINDS,
        }
    )


@router.get("/models")
async def models(request: Request) -> Response:
    """The models that may be chosen."""
    return Answer(
        {
            "models": [
                {
                    "name": name,
                    "modalities": spec.prep.modalities,
                    "may_be_missing": spec.may_be_missing,
                    "dims": spec.network.dims,
                    "foreground": spec.prep.foreground,
                    "regions": [str(region) for region in spec.output.regions],
                    "phantom_only": spec.phantom_only,
                }
                for name, spec in desk_of(request).specs.items()
            ]
        }
    )


@router.get("/browse")
async def browse(request: Request) -> Response:
    """A folder under an allowed root."""
    said = request.query_params
    place = parsed(Folder, {"root": said.get("root", "0"), "path": said.get("path", "")})
    roots = desk_of(request).settings.roots
    return Answer(await asyncio.to_thread(list_folder, roots, place.root, place.path))


@router.get("/cases")
async def cases(request: Request) -> Response:
    """All cases."""
    return Answer(desk_of(request).show_all())


@router.post("/cases")
async def create(request: Request) -> Response:
    """A new case."""
    desk, said = desk_of(request), await body(request, Titled)
    return Answer(desk.show(desk.create(said.title)), 201)


@router.get("/events")
async def events(request: Request) -> Response:
    """All cases now, then those that change."""
    desk = desk_of(request)

    def state(changed: AbstractSet[str] | None) -> tuple[str, Any]:
        return ("cases", desk.show_all()) if changed is None else ("changes", desk.show_changes(changed))

    heartbeat, lasts = desk.settings.heartbeat, signed_in(request)
    return watch(desk.cases.watched(None), state, lasts=lasts, heartbeat=heartbeat, pause=_PAUSE)


@router.get("/cases/{case_id}")
async def case(request: Request, case_id: str) -> Response:
    """One case."""
    desk = desk_of(request)
    return Answer(desk.show(desk.cases.get(case_id)))


@router.patch("/cases/{case_id}")
async def change(request: Request, case_id: str) -> Response:
    """Change a case."""
    desk, said = desk_of(request), await body(request, CaseChange)
    return Answer(desk.show(await desk.change(case_id, said)))


@router.delete("/cases/{case_id}")
async def delete(request: Request, case_id: str) -> Response:
    """Remove a case."""
    await desk_of(request).delete(case_id)
    return Response(status_code=204)


@router.post("/cases/{case_id}/files")
async def add(request: Request, case_id: str) -> Response:
    """Take in a file, or a zip of files, beside those that are there."""
    return await _receive(request, case_id, FREE)


@router.put("/cases/{case_id}/files/{number}")
async def upload(request: Request, case_id: str, number: str) -> Response:
    """Take in a file, or a zip of files, under a number."""
    return await _receive(request, case_id, number_of(number))


async def _receive(request: Request, case_id: str, number: int) -> Response:
    desk = desk_of(request)
    desk.cases.get(case_id)
    name = client_name(request.headers.get("x-file-name"))
    most = desk.settings.limits.file_bytes
    desk.cases.check_room(declared_bytes(request, most))
    with desk.upload(case_id) as (path, stream):
        async for chunk in chunks(request, most, desk.settings.limits.idle):
            desk.cases.check_room(len(chunk))
            await asyncio.to_thread(stream.write, chunk)
        stream.flush()
        return Answer(desk.show(await desk.receive(case_id, Arrival(path, number, name))))


@router.delete("/cases/{case_id}/files/{number}")
async def delete_file(request: Request, case_id: str, number: str) -> Response:
    """Remove a file of a case."""
    desk = desk_of(request)
    return Answer(desk.show(await desk.delete_file(case_id, number_of(number))))


@router.post("/cases/{case_id}/from")
async def copy_from(request: Request, case_id: str) -> Response:
    """Copy scans from a folder under an allowed root."""
    desk, said = desk_of(request), await body(request, Folder)
    return Answer(desk.show(await desk.copy_from(case_id, said.root, said.path)))


@router.post("/cases/{case_id}/start")
async def start(request: Request, case_id: str) -> Response:
    """Segment the case when its turn comes."""
    desk = desk_of(request)
    return Answer(desk.show(await desk.start(case_id)), 202)


@router.post("/cases/{case_id}/cancel")
async def cancel(request: Request, case_id: str) -> Response:
    """End the case's job."""
    desk = desk_of(request)
    desk.cases.get(case_id)
    await desk.jobs.cancel(case_id)
    return Answer(desk.show(desk.cases.get(case_id)))


@router.get("/cases/{case_id}/events")
async def case_events(request: Request, case_id: str) -> Response:
    """The case, now and after each change."""
    desk = desk_of(request)
    desk.cases.get(case_id)

    def state(_changed: AbstractSet[str] | None) -> tuple[str, Any] | None:
        try:
            return "case", desk.show(desk.cases.get(case_id))
        except Refused:
            return None

    heartbeat, lasts = desk.settings.heartbeat, signed_in(request)
    return watch(desk.cases.watched(case_id), state, lasts=lasts, heartbeat=heartbeat)


@router.get("/cases/{case_id}/{kind}")
async def output(request: Request, case_id: str, kind: str) -> Response:
    """A file that was made of the case."""
    desk = desk_of(request)
    record = desk.cases.get(case_id)
    found = None
    if record.result is not None and kind in record.result["files"]:
        found = find_output(desk.cases.folder(case_id) / "out", record.short, kind)
    if found is None and record.result is not None and kind == "report":
        return HTMLResponse(_NO_REPORT, 404, REPORT_HEADERS)
    if found is None:
        raise Refused("not-found", "there is no such file of this case", remedy="segment it first")
    path, media_type = found
    way = "attachment" if "download" in request.query_params else "inline"
    headers = REPORT_HEADERS if kind == "report" else None
    return FileResponse(path, 200, headers, media_type, filename=path.name, content_disposition_type=way)
