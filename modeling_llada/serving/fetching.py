# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Fetches what a stranger names, from public addresses alone.

A URL in a request must not reach what only this machine can reach: its own services, the network behind it, the metadata of a
cloud. So names are resolved here, and the connection goes to the very address that was checked; a name that answers
differently the second time gains nothing. Redirects go the same way. Proxies of the environment are not used.
"""

import asyncio
import ipaddress
import socket
from typing import Any

import httpcore
import httpx


MAX_REDIRECTS = 3
PORTS = (80, 443)
HEADERS = {"Accept": "image/*", "User-Agent": "llada-serve"}
# All that is allocated of IPv6. Addresses that stand for one of IPv4, as those of NAT64, are outside.
ALLOCATED = ipaddress.ip_network("2000::/3")
SIX_TO_FOUR = ipaddress.ip_network("2002::/16")


async def fetch(url: str, max_bytes: int, seconds: float) -> bytes:
    """
    Fetches a file from a public address.

    Args:
        url (`str`):
            An `http://` or `https://` URL.
        max_bytes (`int`):
            The largest size of the file.
        seconds (`float`):
            The longest time for all of it: names, redirects and the file.

    Returns:
        `bytes`: The file.

    Raises:
        `ValueError`: if the address is not public, the answer is no file or too large, or the time is over.

    Example:

    ```python
    >>> data = await fetch("https://example.org/photo.jpg", max_bytes=2**20, seconds=10)
    ```
    """
    try:
        async with (
            asyncio.timeout(seconds),
            httpcore.AsyncConnectionPool(network_backend=PublicBackend()) as pool,
        ):
            for _ in range(1 + MAX_REDIRECTS):
                target = check_url(url)
                async with pool.stream("GET", str(target), headers=HEADERS) as response:
                    location = read_location(response)
                    if location is None:
                        return await read_file(response, max_bytes)
                    url = str(target.join(location))
    except TimeoutError:
        raise ValueError("it took too long") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpx.InvalidURL) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    raise ValueError(f"it has more than {MAX_REDIRECTS} redirects")


def check_url(url: str) -> httpx.URL:
    """Reads a URL. Raises a `ValueError` if it is not one of the web."""
    target = httpx.URL(url)
    port = target.port or {"http": 80, "https": 443}.get(target.scheme)
    if port not in PORTS or not target.host:
        raise ValueError(f"only http and https at the ports {' and '.join(map(str, PORTS))} are allowed")
    return target


def read_location(response: httpcore.Response) -> str | None:
    """Where a redirect leads; `None` for a file. Raises a `ValueError` for an error of the other server."""
    headers = {name.lower(): value for name, value in response.headers}
    if 300 <= response.status < 400 and b"location" in headers:
        return headers[b"location"].decode("latin-1")
    if response.status != 200:
        raise ValueError(f"the other server answered with the status {response.status}")
    return None


async def read_file(response: httpcore.Response, max_bytes: int) -> bytes:
    """The body of an answer. Reads no more than a chunk beyond the limit."""
    data = bytearray()
    async for chunk in response.aiter_stream():
        data += chunk
        if len(data) > max_bytes:
            raise ValueError(f"it has more than {max_bytes / 2**20:g} MiB")
    return bytes(data)


class PublicBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses, and to nothing else."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, **options: Any) -> httpcore.AsyncNetworkStream:
        """Connects to the first address of a name that answers."""
        addresses = await resolve(host, port)
        if not all(map(is_public, addresses)):
            raise ValueError("only public addresses are allowed")
        for address in addresses[:-1]:
            try:
                return await self._backend.connect_tcp(address, port, **options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(addresses[-1], port, **options)

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await self._backend.sleep(seconds)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ValueError("its server was not found") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: str) -> bool:
    """Whether an address is one of the whole Internet. Those that may stand for another address are not."""
    one = ipaddress.ip_address(address.partition("%")[0])
    if not one.is_global or one.is_multicast:
        return False
    return one.version == 4 or (one in ALLOCATED and one not in SIX_TO_FOUR)
