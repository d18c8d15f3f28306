"""The application: which path is answered by what."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from compass.errors import FormatError, InputError, ModelError
from compass.model import store
from compass.model.web import web_parts
from compass.serve import iiif
from compass.serve.images import SUFFIX, Images, Version

MIME = "image/x-compass"
_LINKED_DATA = f'application/ld+json;profile="{iiif.CONTEXT}"'
_SCRIPT = "compass-image.js"
_PART = re.compile(r"([0-9a-f]{8})-(base|residual)\.bin")
_LEFT = 499  # as servers call it that the client has closed the connection; nobody reads it
_MODELS = 4  # whose parts are kept, 4 MB each


class _RequestError(InputError):
    """What is asked for is not right."""


class Options(NamedTuple):
    """How the server is run."""

    base: str | None = None  # URL that the server is reached by, without a slash at its end; None: as requests say
    cache: int = 256_000_000  # bytes of answers that are kept
    most_pixels: int = 16_000_000  # of an answer
    workers: int = 2  # images that are decoded at once
    queue: int = 64  # requests that wait for that; more are told to come again
    max_age: int = 3600  # seconds for which answers may be kept elsewhere
    model: str | None = None


class Server:
    """Answers requests for the images of a folder."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.options = options
        self.images = Images(folder, options.cache, options.model)
        self._decoding = anyio.CapacityLimiter(options.workers)
        self._waiting = 0
        self._parts = anyio.CapacityLimiter(1)
        self._made: dict[str, dict[str, bytes]] = {}  # parts of models for browsers

    def app(self) -> ASGIApp:
        """What an ASGI server runs."""
        routes = [
            Route("/", self.index),
            Route("/view/{name:path}", self.view),
            Route("/files/{name:path}", self.file),
            Route("/compass/{name}", self.part),
            Mount("/iiif", self.image_api),
        ]
        inner = Starlette(routes=routes, lifespan=self._lifespan)
        # Around everything, so that errors have it, too; but pages are for those alone who open them.
        shared = CORSMiddleware(
            inner,
            allow_origins=["*"],
            allow_methods=["GET", "HEAD", "OPTIONS"],
            allow_headers=["Range"],
            expose_headers=["Content-Range", "ETag", "Link"],
        )

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            open_to_all = scope["type"] == "http" and scope["path"].startswith(("/iiif/", "/files/", "/compass/"))
            await (shared if open_to_all else inner)(scope, receive, send)

        return app

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self.images.close()

    async def index(self, _: Request) -> Response:
        """All images, small."""
        names = await to_thread.run_sync(self.images.names)
        return HTMLResponse(_page("index.html").replace("NAMES", json.dumps(names).replace("<", "\\u003c")))

    async def view(self, request: Request) -> Response:
        """One image."""
        name = request.path_params["name"].removesuffix(SUFFIX)
        if not await self._found(name):
            return _said(404, f"there is no image {name}")
        return HTMLResponse(_page("view.html").replace("NAME", json.dumps(name).replace("<", "\\u003c")))

    async def file(self, request: Request) -> Response:
        """A layered file, or a part of it."""
        version = await self._found(request.path_params["name"])
        if not version:
            return _said(404, f"there is no file {request.path_params['name']}")
        headers = {"Cache-Control": self._age, "ETag": _tag(version, "file")}
        if _unchanged(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return FileResponse(version.path, media_type=MIME, headers=headers)

    async def part(self, request: Request) -> Response:
        """The decoder for browsers, if it has been built, or a part of a model for it."""
        name = request.path_params["name"]
        if name == _SCRIPT:
            script = await to_thread.run_sync(_static, _SCRIPT)
            return Response(script, media_type="text/javascript") if script else _said(404, "make web builds it")
        match = _PART.fullmatch(name)
        content = await to_thread.run_sync(self._part, match[1], match[2], limiter=self._parts) if match else None
        if content is None:
            return _said(404, f"there is no {name}")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}  # a name is of one content
        return Response(content, media_type="application/octet-stream", headers=headers)

    def _part(self, model: str, part: str) -> bytes | None:
        """Of the models that are installed and the server's own; all parts of the last few are kept."""
        if model not in self._made:
            try:
                made = web_parts(store.load_for(bytes.fromhex(model), self.options.model).file)
            except ModelError:
                return None
            if len(self._made) >= _MODELS:
                self._made.clear()
            self._made[model] = made
        return self._made[model].get(part)

    async def image_api(self, scope: Scope, receive: Receive, send: Send) -> None:
        """All of the Image API; by the path as it was sent, in which a slash of an identifier is %2F."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        request = Request(scope, receive)
        raw = scope.get("raw_path", scope["path"].encode()).split(b"?")[0].decode("latin-1")
        parts = [unquote(part) for part in raw.split("/iiif/", 1)[-1].split("/")]
        try:
            response = await self._image(request, raw, parts)
        except iiif.UnsupportedError as error:
            response = _said(501, str(error))
        except _RequestError as error:
            response = _said(400, str(error))
        except (FormatError, ModelError) as error:
            response = _said(500, f"{parts[0]}: {error}")
        except (OSError, ValueError, MemoryError):  # of a file that is taken away, or of Pillow
            response = _said(500, f"{parts[0]} cannot be read")
        await response(scope, receive, send)

    async def _image(self, request: Request, raw: str, parts: list[str]) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _said(405, "images are read alone")
        version = await self._found(parts[0])
        if not version:
            return _said(404, f"there is no image {parts[0]}")
        identity = self._url(request, f"/iiif/{raw.split('/iiif/', 1)[1].split('/')[0]}")
        if parts[1:] in ([], [""]):
            return RedirectResponse(f"{identity}/info.json", 303)
        if parts[1:] == ["info.json"]:
            return await self._info(request, version, identity)
        if len(parts) != 5:
            return _said(400, "a request is identifier/region/size/rotation/quality.format, or identifier/info.json")
        sizes = await to_thread.run_sync(self.images.sizes, version)
        region, size, rotation, last = parts[1:]
        try:
            wanted = iiif.parse(region, size, rotation, last, sizes[-1], self.options.most_pixels)
        except iiif.UnsupportedError:
            raise
        except InputError as error:
            raise _RequestError(str(error)) from None
        canonical = wanted.canonical(sizes[-1])
        headers = {
            "Link": f'<{iiif.PROFILE}>;rel="profile", <{identity}/{canonical}>;rel="canonical"',
            "Cache-Control": self._age,
            "ETag": _tag(version, canonical),
        }
        if _unchanged(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        content = self.images.cache.get((version, wanted))
        if content is None:
            if self._waiting >= self.options.queue + self.options.workers:
                return _said(503, "too many images are asked for at once", {"Retry-After": "1"})
            content = await self._bounded(request, lambda: self.images.rendered(version, wanted))
        if content is None:
            return _said(_LEFT, "nobody waits for this any more")
        return Response(content, media_type=iiif.FORMATS[wanted.format], headers=headers)

    async def _info(self, request: Request, version: Version, identity: str) -> Response:
        sizes = await to_thread.run_sync(self.images.sizes, version)
        content = iiif.description(identity, sizes, self.options.most_pixels)
        linked = "application/ld+json" in request.headers.get("accept", "")
        headers = {"Link": f'<{iiif.PROFILE}>;rel="profile"', "Vary": "Accept", "Cache-Control": self._age}
        return JSONResponse(content, headers=headers, media_type=_LINKED_DATA if linked else "application/json")

    async def _found(self, name: str) -> Version | None:
        return await to_thread.run_sync(self.images.find, name)

    @property
    def _age(self) -> str:
        return f"public, max-age={self.options.max_age}"

    async def _bounded(self, request: Request, work: Callable[[], bytes]) -> bytes | None:
        """So many at once as there are workers; None if the client has left by the time it is its turn."""
        self._waiting += 1
        try:
            async with self._decoding:
                return None if await request.is_disconnected() else await to_thread.run_sync(work)
        finally:
            self._waiting -= 1

    def _url(self, request: Request, path: str) -> str:
        base = self.options.base or f"{request.url.scheme}://{request.url.netloc}"
        return f"{base}{quote(path, safe='/%:')}"


def _said(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers)


def _unchanged(request: Request, tag: str) -> bool:
    """Whether who asks has this version already."""
    known = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    return tag in known or "*" in known


def _tag(version: Version, canonical: str) -> str:
    return f'"{hashlib.sha256(f"{version} {canonical}".encode()).hexdigest()[:24]}"'


def _static(name: str) -> bytes | None:
    """A file that comes with the package, if it does."""
    file = resources.files("compass.serve") / "static" / name
    return file.read_bytes() if file.is_file() else None


def _page(name: str) -> str:
    content = _static(name)
    assert content is not None
    return content.decode()
