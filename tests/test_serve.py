"""The web server: the IIIF Image API, files with byte ranges, what is refused, what is bounded."""

from __future__ import annotations

import io
import socket
import threading
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import compass
from compass.errors import InputError
from compass.model.file import ModelFile
from tests.command import compass as command

pytest.importorskip("starlette")
import anyio
from starlette.testclient import TestClient

from compass.serve import iiif
from compass.serve.app import Options, Server
from compass.serve.images import Cache, Images

SIZES = [(60, 40), (120, 80), (240, 160)]
MOST = 1_000_000


@pytest.fixture(scope="module")
def folder(parrots, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    tiny = Path(__file__).parents[1] / "conformance" / "tiny.model"
    image = parrots.resize(SIZES[-1])
    (folder / "a b").mkdir()
    (folder / "parrots.cmps").write_bytes(compass.encode(image, sizes=SIZES, quality=5, model=tiny))
    (folder / "a b" / "grey.cmps").write_bytes(
        compass.encode(image.convert("L"), sizes=SIZES[:1], quality=3, model=tiny)
    )
    clear = image.copy()
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    (folder / "clear.cmps").write_bytes(compass.encode(clear, sizes=SIZES, quality=3, model=tiny))
    (folder / "broken.cmps").write_bytes(b"no file")
    (folder.parent / "secret.cmps").write_bytes((folder / "parrots.cmps").read_bytes())
    return folder


@pytest.fixture(scope="module")
def client(folder, tiny_model_path):
    with TestClient(Server(folder, Options(most_pixels=MOST, model=str(tiny_model_path))).app()) as client:
        yield client


def opened(response) -> Image.Image:
    assert response.status_code == 200, response.text
    return Image.open(io.BytesIO(response.content))


def test_what_an_image_offers(client):
    response = client.get("/iiif/parrots/info.json")
    content = response.json()
    assert response.headers["content-type"] == "application/json"
    assert content["id"] == "http://testserver/iiif/parrots"
    assert (content["width"], content["height"]) == SIZES[-1]
    assert [(size["width"], size["height"]) for size in content["sizes"]] == SIZES
    assert (content["profile"], content["type"]) == ("level2", "ImageService3")
    linked = client.get("/iiif/parrots/info.json", headers={"accept": "application/ld+json"})
    assert linked.headers["content-type"].startswith("application/ld+json")
    base = client.get("/iiif/parrots", follow_redirects=False)
    assert (base.status_code, base.headers["location"]) == (303, "http://testserver/iiif/parrots/info.json")
    inner = client.get("/iiif/a%20b%2Fgrey/info.json").json()
    assert inner["id"] == "http://testserver/iiif/a%20b%2Fgrey"


def test_what_is_offered_is_within_the_limit(folder, tiny_model_path):
    options = Options(most_pixels=10_000, model=str(tiny_model_path))
    with TestClient(Server(folder, options).app()) as client:
        content = client.get("/iiif/parrots/info.json").json()
        assert [(size["width"], size["height"]) for size in content["sizes"]] == SIZES[:2]
        (tile,) = content["tiles"]
        for factor in tile["scaleFactors"]:
            side = factor * tile["width"]
            region = f"0,0,{min(side, SIZES[-1][0])},{min(factor * tile['height'], SIZES[-1][1])}"
            width = -(-min(side, SIZES[-1][0]) // factor)
            assert client.get(f"/iiif/parrots/{region}/{width},/0/default.jpg").status_code == 200
        assert tile["scaleFactors"] == [1, 2, 4]


def test_an_image_is_that_of_the_decoder(client, folder, tiny_model_path):
    with compass.open(folder / "parrots.cmps", model=tiny_model_path) as file:
        for width, height in SIZES:
            served = opened(client.get(f"/iiif/parrots/full/{width},{height}/0/default.png"))
            assert np.array_equal(np.asarray(served), np.asarray(file.decode(file.sizes.index((width, height)))))
        part = opened(client.get("/iiif/parrots/33,20,100,64/max/0/default.png"))
        assert np.array_equal(np.asarray(part), np.asarray(file.decode().crop((33, 20, 133, 84))))


@pytest.mark.parametrize(
    ("path", "box", "size"),
    [
        ("0,0,240,160/60,40", (0, 0, 240, 160), (60, 40)),
        ("square/max", (40, 0, 200, 160), (160, 160)),
        ("pct:25,25,50,50/max", (60, 40, 180, 120), (120, 80)),
        ("200,100,999,999/max", (200, 100, 240, 160), (40, 60)),
        ("full/!100,100", (0, 0, 240, 160), (100, 67)),
        ("20,20,80,80/,30", (20, 20, 100, 100), (30, 30)),
        ("full/pct:50", (0, 0, 240, 160), (120, 80)),
        ("10,10,50,40/^150,", (10, 10, 60, 50), (150, 120)),
        ("full/^pct:150", (0, 0, 240, 160), (360, 240)),
        ("full/^max", (0, 0, 240, 160), (1224, 816)),
        ("full/^!9000,9000", (0, 0, 240, 160), (1224, 816)),
    ],
)
def test_regions_and_sizes(path, box, size, client, folder, tiny_model_path):
    served = opened(client.get(f"/iiif/parrots/{path}/0/default.png"))
    assert served.size == size
    whole = compass.decode((folder / "parrots.cmps").read_bytes(), model=tiny_model_path)
    expected = whole.crop(box).resize(size, Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(served).astype(int) - np.asarray(expected)).mean() < 12  # the layers of tiny differ


def test_turning_and_mirroring(client):
    plain = np.asarray(opened(client.get("/iiif/parrots/full/max/0/default.png")))
    for degrees, turned in ((90, np.rot90(plain, -1)), (180, np.rot90(plain, 2)), (270, np.rot90(plain))):
        served = opened(client.get(f"/iiif/parrots/full/max/{degrees}/default.png"))
        assert np.array_equal(np.asarray(served), turned)
    mirrored = opened(client.get("/iiif/parrots/full/max/!90/default.png"))
    assert np.array_equal(np.asarray(mirrored), np.rot90(plain[:, ::-1], -1))


def test_qualities_and_formats(client):
    for name, kind in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")):
        assert opened(client.get(f"/iiif/parrots/full/max/0/default.{name}")).format == kind
    assert opened(client.get("/iiif/parrots/full/max/0/gray.png")).mode == "L"
    bitonal = opened(client.get("/iiif/parrots/full/max/0/bitonal.png"))
    assert {value for _, value in bitonal.convert("L").getcolors()} <= {0, 255}
    assert opened(client.get("/iiif/clear/full/max/0/default.png")).mode == "RGBA"
    backed = np.asarray(opened(client.get("/iiif/clear/full/max/0/default.jpg")))
    assert backed[0].mean() > 240  # white shows where there is nothing
    assert np.asarray(opened(client.get("/iiif/clear/full/max/0/gray.jpg")))[0].mean() > 240
    assert opened(client.get("/iiif/clear/full/max/0/gray.png")).mode == "LA"
    assert np.asarray(opened(client.get("/iiif/clear/full/max/0/bitonal.png")))[0].mean() > 0.9
    assert opened(client.get("/iiif/a%20b%2Fgrey/full/max/0/color.jpg")).mode in ("L", "RGB")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("none/info.json", 404, "there is no image none"),
        ("..%2Fsecret/info.json", 404, "there is no image"),
        ("%2Fetc%2Fpasswd/info.json", 404, "there is no image"),
        ("parrots%00/info.json", 404, "there is no image"),
        ("a%20b%2F..%2Fparrots/info.json", 404, "there is no image"),
        (".%2Fparrots/info.json", 404, "there is no image"),
        ("FOLDER%2Fparrots/info.json", 404, "there is no image"),
        ("parrots/full/^20000,1/0/default.webp", 400, "cannot be written as webp"),
        ("parrots/full/^1,70000/0/default.jpg", 400, "cannot be written as jpg"),
        ("broken/info.json", 500, "this is not a COMPASS file"),
        ("parrots/full/max", 400, "a request is identifier/region"),
        ("parrots/all/max/0/default.jpg", 400, "'all' is not a region"),
        ("parrots/0,0,0,10/max/0/default.jpg", 400, "is empty"),
        ("parrots/240,0,10,10/max/0/default.jpg", 400, "outside of an image of 240x160"),
        ("parrots/1.5,0,10,10/max/0/default.jpg", 400, "is not a region"),
        ("parrots/full/big/0/default.jpg", 400, "'big' is not a size"),
        ("parrots/full/,/0/default.jpg", 400, "',' is not a size"),
        ("parrots/full/!5,/0/default.jpg", 400, "is not a size"),
        ("parrots/full/0,/0/default.jpg", 400, "has no pixels"),
        ("parrots/full/pct:0/0/default.jpg", 400, "has no pixels"),
        ("parrots/full/300,/0/default.jpg", 400, "larger than the region, 240x160: ^300, enlarges"),
        ("parrots/full/^9000,9000/0/default.jpg", 400, "9000x9000 pixels are more than the limit of 1000000"),
        ("parrots/full/max/45/default.jpg", 501, "90, 180 and 270"),
        ("parrots/full/max/400/default.jpg", 400, "'400' is not a rotation"),
        ("parrots/full/max/0/fine.jpg", 400, "'fine.jpg' is not a quality"),
        ("parrots/full/max/0/default.gif", 400, "'gif' is not a format"),
        ("parrots/full/max/0/default", 400, "is not a quality and a format"),
    ],
)
def test_what_is_wrong_is_said(path, status, said, client, folder):
    origin = {"origin": "https://viewer.example"}
    response = client.get(f"/iiif/{path.replace('FOLDER', quote(str(folder), safe=''))}", headers=origin)
    assert response.headers["access-control-allow-origin"] == "*"
    assert str(folder) not in response.text.replace(f"there is no image {folder}", "")
    assert response.status_code == status
    assert said in response.text
    assert response.text.count("\n") == 1


def test_answers_have_one_path_and_a_tag(client):
    answers = [client.get(f"/iiif/parrots/{path}/0/default.jpg") for path in ("full/max", "0,0,240,160/240,160")]
    assert answers[0].headers["link"] == answers[1].headers["link"]
    assert '<http://testserver/iiif/parrots/full/max/0/default.jpg>;rel="canonical"' in answers[0].headers["link"]
    tag = answers[0].headers["etag"]
    assert tag == answers[1].headers["etag"]
    again = client.get("/iiif/parrots/full/max/0/default.jpg", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert answers[0].headers["cache-control"].startswith("public, max-age=")
    for known in (f'"other", W/{tag}', "*"):
        assert client.get("/iiif/parrots/full/max/0/default.jpg", headers={"if-none-match": known}).status_code == 304


def test_others_may_ask(client):
    response = client.get("/iiif/parrots/info.json", headers={"origin": "https://viewer.example"})
    assert response.headers["access-control-allow-origin"] == "*"
    preflight = {"origin": "https://viewer.example", "access-control-request-method": "GET",
                 "access-control-request-headers": "range"}  # fmt: skip
    assert client.options("/files/parrots.cmps", headers=preflight).status_code == 200
    assert client.post("/iiif/parrots/full/max/0/default.jpg").status_code == 405
    assert "access-control-allow-origin" not in client.get("/", headers={"origin": "https://other.example"}).headers


def test_files_with_ranges(client, folder):
    data = (folder / "parrots.cmps").read_bytes()
    whole = client.get("/files/parrots.cmps")
    assert (whole.content, whole.headers["content-type"]) == (data, "image/x-compass")
    part = client.get("/files/parrots.cmps", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
    assert client.get("/files/parrots.cmps", headers={"range": "bytes=999999-"}).status_code == 416
    assert client.get("/files/parrots.cmps", headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    for name in ("../secret.cmps", "%2e%2e/secret.cmps", "..%2fsecret.cmps", "none.cmps"):
        assert client.get(f"/files/{name}").status_code == 404


def test_a_link_out_of_the_folder_is_none(client, folder):
    (folder / "link.cmps").symlink_to(folder.parent / "secret.cmps")
    try:
        assert client.get("/files/link.cmps").status_code == 404
        assert client.get("/iiif/link/info.json").status_code == 404
    finally:
        (folder / "link.cmps").unlink()


def test_pages(client):
    page = client.get("/")
    assert '"a b/grey"' in page.text
    assert "NAMES" not in page.text
    assert '"parrots"' in client.get("/view/parrots").text
    assert client.get("/view/none").status_code == 404


def test_parts_of_models_for_browsers(client, tiny_model_path, monkeypatch):
    monkeypatch.setenv("COMPASS_MODELS", str(tiny_model_path))
    name = f"{ModelFile(tiny_model_path).manifest.hash.hex()}-base.bin"
    response = client.get(f"/compass/{name}")
    assert response.content.startswith(b"CMPW")
    for other in ("00000000-base.bin", "nonsense", f"{name[:8]}-other.bin", f"%20{name}", name.upper(), name[:-4]):
        assert client.get(f"/compass/{other}").status_code == 404


def test_a_file_that_is_written_anew_is_seen(client, folder, tiny_model_path, parrots):
    path = folder / "new.cmps"
    path.write_bytes(compass.encode(parrots.resize((32, 24)), [1], 2, tiny_model_path))
    assert client.get("/iiif/new/info.json").json()["width"] == 32
    path.write_bytes(compass.encode(parrots.resize((64, 48)), [1], 2, tiny_model_path))
    assert client.get("/iiif/new/info.json").json()["width"] == 64
    path.unlink()
    assert client.get("/iiif/new/info.json").status_code == 404


def test_a_file_that_is_cut_shows_its_whole_layers(client, folder):
    data = (folder / "parrots.cmps").read_bytes()
    with compass.open(data) as file:
        end = file.info()["layers"][1]["accumulated_bytes"]
    (folder / "cut.cmps").write_bytes(data[: end + 5])
    served = opened(client.get("/iiif/cut/full/max/0/default.png"))
    assert served.size == SIZES[-1]
    (folder / "cut.cmps").unlink()


def test_too_many_at_once_are_told_to_come_again(folder, tiny_model_path, monkeypatch):
    server = Server(folder, Options(workers=1, queue=1, model=str(tiny_model_path)))
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(*_: object) -> bytes:
        begun.release()
        go_on.wait(20)
        return b"image"

    monkeypatch.setattr(server.images, "rendered", slow)
    statuses: list[int] = []
    with TestClient(server.app()) as client:

        def ask(width: int) -> None:
            statuses.append(client.get(f"/iiif/parrots/full/{width},/0/default.jpg").status_code)

        asking = [threading.Thread(target=ask, args=(width,)) for width in (10, 11)]
        for thread in asking:
            thread.start()
        begun.acquire(timeout=20)
        while server._waiting < 2:
            pass
        refused = client.get("/iiif/parrots/full/12,/0/default.jpg")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        go_on.set()
        for thread in asking:
            thread.join()
    assert statuses == [200, 200]


def test_what_is_kept_is_bounded():
    cache = Cache(3 * 1030 + 10)
    for key in range(10):
        cache.put(key, bytes(30))
    assert [key for key in range(10) if cache.get(key)] == [7, 8, 9]
    cache.get(7)
    cache.put(10, bytes(30))
    assert [key for key in range(11) if cache.get(key)] == [7, 9, 10]
    cache.put(11, bytes(3000))
    assert cache.get(11) is None


def test_files_that_are_kept_open_are_few(folder, tiny_model_path, parrots, tmp_path):
    data = (folder / "parrots.cmps").read_bytes()
    for k in range(20):
        (tmp_path / f"{k}.cmps").write_bytes(data)
    images = Images(tmp_path, 0, str(tiny_model_path))
    assert images.names() == sorted(map(str, range(20)))
    for name in images.names():
        with images.opened(images.find(name)) as file:
            assert file.size == SIZES[-1]
    assert len(images._idle) == 8
    version = images.find("3")
    for _ in range(2):
        with images.opened(version), images.opened(version), images.opened(version):
            pass
    assert sum(known == version for known, _ in images._idle) == 2
    assert len(images._idle) == 8
    odd = tmp_path / b"\xff.cmps".decode(errors="surrogateescape")
    odd.write_bytes(data)
    assert len(images.names()) == 20
    with images.opened(version) as first, images.opened(version) as second:
        assert first is not second
    images.close()
    assert not images._idle


_SIDES = st.integers(1, 3000)


@given(
    image=st.tuples(_SIDES, _SIDES),
    region=st.one_of(
        st.sampled_from(["full", "square"]),
        st.tuples(*[st.integers(0, 4000)] * 4).map(lambda box: ",".join(map(str, box))),
        st.tuples(*[st.integers(0, 120)] * 4).map(lambda box: "pct:" + ",".join(map(str, box))),
    ),
    size=st.one_of(
        st.just("max"),
        st.builds("{}{},{}".format, st.sampled_from(["", "^", "!", "^!"]), _SIDES, _SIDES),
        st.builds("pct:{}".format, st.integers(0, 200)),
        st.builds("{},".format, _SIDES),
    ),
)
def test_every_request_is_within_the_image_or_refused(image, region, size):
    try:
        request = iiif.parse(region, size, "0", "default.jpg", image, MOST)
    except InputError:
        return
    left, upper, right, lower = request.box
    assert 0 <= left < right <= image[0]
    assert 0 <= upper < lower <= image[1]
    width, height = request.size
    assert width > 0
    assert height > 0
    assert width * height <= MOST
    if not size.startswith("^"):
        assert width <= right - left
        assert height <= lower - upper
    path = request.canonical(image).split("/")
    again = iiif.parse(path[0], path[1], path[2], path[3], image, MOST)
    assert again == request or (path[1] == "max" and Fraction(width, right - left) == 1)


def test_the_command_says_what_is_missing(tmp_path):
    result = command("serve", "nowhere", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (1, "compass: nowhere is not a folder\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = command("serve", ".", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.endswith("cannot be listened at: Address already in use (see --host, --port)\n")
    assert command("serve", ".", "--base-url", "images.example", cwd=tmp_path).returncode == 2
    assert command("serve", ".", "--model", "nothing", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("leaves", [True, False])
def test_what_nobody_waits_for_is_not_decoded(leaves, folder, tiny_model_path, monkeypatch):
    server = Server(folder, Options(model=str(tiny_model_path)))
    rendered, sent = [], []
    monkeypatch.setattr(server.images, "rendered", lambda *asked: rendered.append(asked) or b"content")
    path = "/iiif/parrots/full/max/0/default.jpg"
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
        "scheme": "http", "server": ("localhost", 80), "root_path": "", "http_version": "1.1",
    }  # fmt: skip

    async def receive():
        if not leaves:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    anyio.run(server.app(), scope, receive, send)
    assert len(rendered) == (0 if leaves else 1)
    assert sent[0]["status"] == (499 if leaves else 200)
