"""The application: which path is answered by what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from compass.errors import FormatError, InputError, ModelError
from compass.model import store
from compass.model.web import web_parts
from compass.serve import iiif
from compass.serve.images import Images, Version

MIME = "image/x-compass"
_LINKED_DATA = f'application/ld+json;profile="{iiif.CONTEXT}"'
_SCRIPT = "compass-image.js"


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

    def app(self) -> Starlette:
        routes = [
            Route("/", self.index),
            Route("/view/{name:path}", self.view),
            Route("/files/{name:path}", self.file),
            Route("/compass/{name}", self.part),
            Mount("/iiif", self.image_api),
        ]
        cors = Middleware(
            CORSMiddleware,
            allow_origins=["*"],
            allow_methods=["GET", "HEAD", "OPTIONS"],
            allow_headers=["Range"],
            expose_headers=["Content-Range", "ETag", "Link"],
        )
        return Starlette(routes=routes, middleware=[cors], lifespan=self._lifespan)

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
        name = request.path_params["name"]
        if not self.images.find(name):
            return _said(404, f"there is no image {name}")
        return HTMLResponse(_page("view.html").replace("NAME", json.dumps(name).replace("<", "\\u003c")))

    async def file(self, request: Request) -> Response:
        """A layered file, or a part of it."""
        version = self.images.find(request.path_params["name"])
        if not version:
            return _said(404, f"there is no file {request.path_params['name']}")
        headers = {"Cache-Control": f"public, max-age={self.options.max_age}"}
        return FileResponse(version.path, media_type=MIME, headers=headers)

    async def part(self, request: Request) -> Response:
        """The decoder for browsers, if it has been built, or a part of an installed model for it."""
        name = request.path_params["name"]
        if name == _SCRIPT:
            script = _static(_SCRIPT)
            return Response(script, media_type="text/javascript") if script else _said(404, "make web builds it")
        try:
            content = await to_thread.run_sync(_model_part, name)
        except (ModelError, KeyError, ValueError):
            return _said(404, f"there is no model for {name}")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}  # a name is of one content
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def image_api(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        """All of the Image API; by the path as it was sent, in which a slash of an identifier is %2F."""
        request = Request(scope, receive)
        raw = scope.get("raw_path", scope["path"].encode()).split(b"?")[0].decode("latin-1")
        parts = [unquote(part) for part in raw.split("/iiif/", 1)[-1].split("/")]
        try:
            response = await self._image(request, raw, parts)
        except iiif.UnsupportedError as error:
            response = _said(501, str(error))
        except InputError as error:
            response = _said(400, str(error))
        except (FormatError, ModelError) as error:
            response = _said(500, str(error))
        await response(scope, receive, send)

    async def _image(self, request: Request, raw: str, parts: list[str]) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _said(405, "images are read alone")
        version = self.images.find(parts[0])
        if not version:
            return _said(404, f"there is no image {parts[0]}")
        identity = self._url(request, f"/iiif/{raw.split('/iiif/', 1)[1].split('/')[0]}")
        if parts[1:] in ([], [""]):
            return RedirectResponse(f"{identity}/info.json", 303)
        if parts[1:] == ["info.json"]:
            return await self._info(request, version, identity)
        if len(parts) != 5:
            return _said(400, "a request is identifier/region/size/rotation/quality.format, or identifier/info.json")
        sizes = await self._sizes(version)
        region, size, rotation, last = parts[1:]
        wanted = iiif.parse(region, size, rotation, last, sizes[-1], self.options.most_pixels)
        canonical = wanted.canonical(sizes[-1])
        tag = _tag(version, canonical)
        headers = {
            "Link": f'<{iiif.PROFILE}>;rel="profile", <{identity}/{canonical}>;rel="canonical"',
            "Cache-Control": f"public, max-age={self.options.max_age}",
            "ETag": tag,
        }
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self._waiting >= self.options.queue + self.options.workers:
            return _said(503, "too many images are asked for at once", {"Retry-After": "1"})
        content = self.images.cache.get((version, wanted))
        if content is None:
            content = await self._bounded(lambda: self.images.rendered(version, wanted))
        return Response(content, media_type=iiif.FORMATS[wanted.format], headers=headers)

    async def _info(self, request: Request, version: Version, identity: str) -> Response:
        content = iiif.description(identity, await self._sizes(version), self.options.most_pixels)
        linked = "application/ld+json" in request.headers.get("accept", "")
        headers = {"Link": f'<{iiif.PROFILE}>;rel="profile"', "Vary": "Accept"}
        return JSONResponse(content, headers=headers, media_type=_LINKED_DATA if linked else "application/json")

    async def _sizes(self, version: Version) -> list[iiif.Size]:
        def read() -> list[iiif.Size]:
            with self.images.opened(version) as file:
                return file.sizes

        return await to_thread.run_sync(read)

    async def _bounded(self, work: Callable[[], bytes]) -> bytes:
        """So many at once as there are workers."""
        self._waiting += 1
        try:
            return await to_thread.run_sync(work, limiter=self._decoding)
        finally:
            self._waiting -= 1

    def _url(self, request: Request, path: str) -> str:
        base = self.options.base or f"{request.url.scheme}://{request.url.netloc}"
        return f"{base}{quote(path, safe='/%:')}"


def _said(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers)


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


@cache
def _model_part(name: str) -> bytes:
    """Raises ModelError, KeyError or ValueError if no installed model has it."""
    model, _, part = name.removesuffix(".bin").partition("-")
    found = store.find_hash(bytes.fromhex(model))
    if found is None:
        raise KeyError(model)
    return web_parts(store.load(found.path).file)[part]
