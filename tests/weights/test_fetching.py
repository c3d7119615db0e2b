"""Fetching from servers on this machine: a plain one, and one that speaks as the hub does."""

import dataclasses
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub.constants
import pytest

from anyscene.weights import catalogue, fetching, reading
from anyscene.weights.catalogue import File, PublishedWeights

BIG = bytes(range(256)) * 4096
SMALL = b'{"a": 1}'


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server():
    """files: content by path; cut: bytes after which the connection breaks; asked: (method, path, range)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            place = self.headers.get("Range")
            self.server.asked.append((self.command, self.path, place))
            content = self.server.files.get(self.path)
            if content is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                if "/resolve/" in self.path:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.end_headers()
                return
            first = int(place.removeprefix("bytes=").split("-")[0]) if place and body else 0
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - first))
            self.send_header("X-Repo-Commit", "0" * 40)
            big = len(content) > 1000
            git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            self.send_header("ETag", f'"{self.server.etags.get(self.path, sha256(content) if big else git)}"')
            self.end_headers()
            if body:
                rest = content[first:]
                cut, self.server.cut = self.server.cut, None
                self.wfile.write(rest[:cut])
                if cut is not None:
                    self.wfile.flush()
                    self.close_connection = True

        def log_message(self, *arguments):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.files, found.etags, found.asked, found.cut = {}, {}, [], None
    found.url = f"http://127.0.0.1:{found.server_port}"
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def plain(server, *files, **more):
    entry = PublishedWeights("a", "a model", "https://there", "MIT", "folder", files, url=server.url, **more)
    return entry


def of_hub(*files):
    return PublishedWeights("b", "a model", "https://there", "MIT", "b", files, repository="who/what")


def serve(server, **contents):
    server.files |= {f"/who/what/resolve/main/{name}": content for name, content in contents.items()}


def test_from_a_plain_server(server, tmp_path):
    server.files["/w.pth"] = BIG
    said, root = [], tmp_path / "weights"
    entry = plain(server, File("w.pth", sha256(BIG)), sha256_from="them")
    fetching.fetch(entry, root, said.append)
    assert (root / "folder/w.pth").read_bytes() == BIG and "sha256 by them" in said[0]
    assert (root / "folder" / reading.SUMS).read_text() == f"{sha256(BIG)}  w.pth\n"
    assert sorted(path.name for path in root.iterdir()) == ["folder"]
    asked = len(server.asked)
    fetching.fetch(entry, root, said.append)
    assert "is there" in said[1] and len(server.asked) == asked
    (root / "folder/w.pth").write_bytes(BIG[:-1])
    fetching.fetch(entry, root, said.append)
    assert (root / "folder/w.pth").read_bytes() == BIG


def test_another_file_than_published_is_thrown_away(server, tmp_path):
    server.files["/w.pth"] = BIG[:-1] + b"x"
    entry = plain(server, File("w.pth", sha256(BIG)), sha256_from="them")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/w.pth").write_bytes(b"old")
    with pytest.raises(fetching.FetchError, match=r"w\.pth arrived with the hash .* wanted"):
        fetching.fetch(entry, tmp_path, print)
    assert (tmp_path / "folder/w.pth").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "w.pth"]


def test_from_the_hub_in_folders(server, tmp_path):
    serve(server, **{"unet/m.safetensors": BIG, "c.json": SMALL})
    said = []
    entry = of_hub(File("c.json"), File("unet/m.safetensors"))
    fetching.fetch(entry, tmp_path, said.append, server.url)
    assert (tmp_path / "b/unet/m.safetensors").read_bytes() == BIG
    assert (tmp_path / "b/c.json").read_bytes() == SMALL
    assert all("hash as the hub says" in line for line in said)
    sums = (tmp_path / "b" / reading.SUMS).read_text().splitlines()
    assert sorted(sums) == sorted([f"{sha256(SMALL)}  c.json", f"{sha256(BIG)}  unet/m.safetensors"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]
    assert reading.intact(tmp_path / "b/unet/m.safetensors")


def test_a_file_that_lies_elsewhere(server, tmp_path):
    """TAP's tokenizer is not beside its weights."""
    serve(server, **{"models/m.safetensors": BIG})
    server.files["/other/commit/t.model"] = SMALL
    there = File("t.model", sha256(SMALL), url=f"{server.url}/other/commit/t.model")
    entry = dataclasses.replace(of_hub(File("models/m.safetensors"), there), sha256_from="them")
    said = []
    fetching.fetch(entry, tmp_path, said.append, server.url)
    assert (tmp_path / "b/t.model").read_bytes() == SMALL and "sha256 by them" in said[1]
    assert (tmp_path / "b/models/m.safetensors").read_bytes() == BIG


@pytest.mark.parametrize("name", ["c.json", "m.safetensors"])
def test_what_the_hub_says_is_compared(server, tmp_path, name):
    content = SMALL if name == "c.json" else BIG
    serve(server, **{name: content})
    right = sha256(content + b" ") if name != "c.json" else "1" * 40
    server.etags[f"/who/what/resolve/main/{name}"] = right
    with pytest.raises(fetching.FetchError, match=f"wanted {right}"):
        fetching.fetch(of_hub(File(name)), tmp_path, print, server.url)
    assert not list(tmp_path.rglob(name))


def test_a_download_of_the_hub_goes_on(server, tmp_path, monkeypatch):
    """What came before the connection broke is not asked for again, by this process or a later one."""
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    serve(server, **{"m.safetensors": BIG})
    server.cut = 300_000
    entry = of_hub(File("m.safetensors"))
    try:
        fetching.fetch(entry, tmp_path, print, server.url)
    except fetching.FetchError:
        assert not (tmp_path / "b").exists()
        fetching.fetch(entry, tmp_path, print, server.url)
    assert (tmp_path / "b/m.safetensors").read_bytes() == BIG
    ranges = [place for method, _, place in server.asked if method == "GET" and place]
    assert any(place.startswith("bytes=") and place != "bytes=0-" for place in ranges), server.asked


def test_what_the_hub_does_not_have(server, tmp_path):
    wanted = r"b/m\.safetensors: cannot be fetched \(.*404.*https://there"
    with pytest.raises(fetching.FetchError, match=wanted):
        fetching.fetch(of_hub(File("m.safetensors")), tmp_path, print, server.url)


@pytest.mark.parametrize("kind", ["plain", "hub"])
def test_no_network(tmp_path, kind, monkeypatch):
    def unreachable(*_, **__):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    entry = catalogue.get("sam_vit_b" if kind == "plain" else "clip-vit-b32")
    with pytest.raises(
        fetching.FetchError, match=r"cannot be fetched \(.*unreachable.*another machine and put it there"
    ):
        fetching.fetch(entry, tmp_path, print)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("name", "said"), [("odise", "precomputed.md"), ("lseg", "by hand from .*lang-seg")])
def test_what_cannot_be_fetched_says_how_it_is_had(tmp_path, name, said):
    with pytest.raises(fetching.FetchError, match=f"{name} cannot be fetched: .*{said}.*{tmp_path / name}"):
        fetching.fetch(catalogue.get(name), tmp_path, print)
