# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Files from URLs that strangers name: from public addresses alone, and not too much of them."""

import asyncio
import base64
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.golden_v import golden_image
from support.image_requests import QUESTION, chat, data_url, image_part


pytest.importorskip("fastapi", reason="needs the extra `serve`")

from fastapi.testclient import TestClient

from modeling_llada.serving import build_app, fetching, images
from modeling_llada.serving.fetching import fetch, is_public


FILE = b"file"


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path.startswith("/to/"):
            return self.answer(302, b"", Location=self.path.removeprefix("/to/"))
        if self.path == "/missing":
            return self.answer(404, b"")
        if self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(50):  # a piece now and then: no single wait is long
                time.sleep(0.05)
                try:
                    self.wfile.write(b".")
                except OSError:
                    return None
            return None
        if self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            while True:
                try:
                    self.wfile.write(b"." * 2**16)
                except OSError:
                    return None
        return self.answer(200, self.server.file)

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *values):
        pass


@pytest.fixture
def other_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.paths, server.file = [], FILE
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def public(other_server, monkeypatch):
    """A server that counts as one of the public web."""
    monkeypatch.setattr(fetching, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(fetching, "PORTS", (other_server.server_port,))
    return other_server


def get(url, max_bytes=2**20, seconds=5.0):
    return asyncio.run(fetch(url, max_bytes, seconds))


class TestFiles:
    def test_a_file(self, public):
        assert get(f"{public.url}/a.png") == FILE
        assert get(f"{public.url}/a.png".replace("127.0.0.1", "localhost")) == FILE

    def test_redirects(self, public):
        assert get(f"{public.url}/to//to//a.png") == FILE  # relative ones
        assert get(f"{public.url}/to/{public.url}/a.png") == FILE

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("/missing", "the other server answered with the status 404"),
            ("/to/" * 9 + "a", "it has more than 3 redirects"),
            ("/endless", "it has more than 1 MiB"),
            ("/to/ftp://127.0.0.1/a", "only http and https at the ports"),
            ("/to/http://127.0.0.1:1/a", "only http and https at the ports"),
            ("/to/file:///etc/passwd", "only http and https at the ports"),
        ],
    )
    def test_what_is_none(self, public, path, message):
        with pytest.raises(ValueError, match=message):
            get(public.url + path)

    def test_one_that_trickles(self, public):
        start = time.monotonic()
        with pytest.raises(ValueError, match="it took too long"):
            get(f"{public.url}/slow", seconds=0.3)
        assert time.monotonic() - start < 2

    def test_nobody_there(self, public):
        public.server_close()
        with pytest.raises(ValueError, match="."):
            get(f"{public.url}/a.png")


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            *(
                "127.0.0.1",
                "127.9.9.9",
                "10.0.0.1",
                "172.16.0.1",
                "192.168.1.1",
                "169.254.169.254",
                "100.64.0.1",
                "0.0.0.0",
            ),
            *("224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1"),
            *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1"),
            # They stand for 127.0.0.1 or 169.254.169.254.
            *(
                "::ffff:127.0.0.1",
                "::7f00:1",
                "64:ff9b::7f00:1",
                "64:ff9b:1::7f00:1",
                "2002:7f00:1::1",
                "2001:0:a9fe:a9fe::1",
            ),
        ],
    )
    def test_private_ones(self, address):
        assert not is_public(address)

    @pytest.mark.parametrize(
        "address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"]
    )
    def test_public_ones(self, address):
        assert is_public(address)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"])
    def test_no_way_to_this_machine(self, other_server, monkeypatch, host):
        monkeypatch.setattr(fetching, "PORTS", (other_server.server_port,))
        with pytest.raises(ValueError, match="only public addresses are allowed|its server was not found"):
            get(f"http://{host}:{other_server.server_port}/a.png")
        assert other_server.paths == []

    def test_a_redirect_to_this_machine(self, public, monkeypatch):
        """The first address counts as public, and the one of the redirect does not."""
        with pytest.raises(ValueError, match="only public addresses are allowed"):
            get(f"{public.url}/to/http://127.0.0.2:{public.server_port}/a.png")
        assert len(public.paths) == 1

    def test_a_name_with_a_private_address_beside_a_public_one(self, public, monkeypatch):
        async def resolve(host, port):
            return ["127.0.0.1", "10.0.0.1"]

        monkeypatch.setattr(fetching, "resolve", resolve)
        with pytest.raises(ValueError, match="only public addresses are allowed"):
            get(f"{public.url}/a.png")
        assert public.paths == []

    def test_a_name_is_looked_up_once(self, public, monkeypatch):
        """The connection goes to the address that was checked, whatever the name means a moment later."""
        calls = []

        async def resolve(host, port):
            calls.append(host)
            return ["127.0.0.1"]

        monkeypatch.setattr(fetching, "resolve", resolve)
        assert get(f"http://photos.invalid:{public.server_port}/a.png") == FILE
        assert calls == ["photos.invalid"]

    def test_an_address_that_does_not_answer(self, public, monkeypatch):
        async def resolve(host, port):
            return ["127.0.0.3", "127.0.0.1"]

        monkeypatch.setattr(fetching, "resolve", resolve)
        monkeypatch.setattr(fetching, "is_public", lambda address: True)
        assert get(f"{public.url}/a.png") == FILE

    @pytest.mark.parametrize(
        "url", ["http://", "http:///a", "ftp://example.org/a", "http://example.org:22/a", "http://a b/", "http://[::1"]
    )
    def test_urls_that_are_none(self, url):
        with pytest.raises(ValueError, match="."):
            get(url)

    def test_proxies_are_not_used(self, public, monkeypatch):
        """They would look names up themselves."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        assert get(f"{public.url}/a.png") == FILE


class TestServer:
    @pytest.fixture
    def client(self, llada_v):
        return TestClient(build_app(*llada_v, ["golden"], allow_remote_images=True))

    @pytest.fixture
    def ask(self, client):
        def ask(image):
            body = {"messages": chat(image_part(image), QUESTION), "max_tokens": 4}
            return client.post("/v1/chat/completions", json=body).json()

        return ask

    def test_a_remote_image(self, ask, public):
        public.file = base64.b64decode(data_url(golden_image("A")).partition(",")[2])
        answer = ask(f"{public.url}/a.png")
        assert answer["choices"] == ask(golden_image("A"))["choices"] and public.paths == ["/a.png"]

    def test_no_picture(self, ask, public):
        message = ask(f"{public.url}/a.png")["error"]["message"]
        assert message.startswith("`messages[0].content[0].image_url`: ") and "cannot be read as a picture" in message

    @pytest.mark.parametrize("path", ["/missing", "/to/http://10.0.0.1:{port}/"])
    def test_one_that_cannot_be_fetched(self, ask, public, path):
        message = ask(public.url + path.format(port=public.server_port))["error"]["message"]
        assert message.startswith("`messages[0].content[0].image_url` 'http://127.0")
        assert "cannot be fetched: " in message and message.endswith("Send a data URL.")

    def test_all_images_share_the_time(self, client, public, monkeypatch):
        monkeypatch.setattr(images, "FETCH_SECONDS", 0.5)
        start = time.monotonic()
        parts = [image_part(f"{public.url}/{path}") for path in ("slow", "slow", "slow")]
        answer = client.post("/v1/chat/completions", json={"messages": chat(*parts)})
        assert "cannot be fetched: it took too long" in answer.json()["error"]["message"]
        assert time.monotonic() - start < 2

    def test_files_are_not_read_with_the_flag_either(self, ask):
        assert "must be a data URL" in ask("/etc/passwd")["error"]["message"]
