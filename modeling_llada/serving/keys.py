# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The keys of a server: who has none is answered by the probes alone."""

import hmac
from collections.abc import Sequence
from hashlib import sha256

from starlette.datastructures import Headers

from .errors import error_response


OPEN_PATHS = ("/health", "/ready")  # what probes the server has no key


class KeyCheck:
    """ASGI middleware that refuses a request without one of the keys in its header `Authorization`, with the status 401."""

    def __init__(self, app, keys: Sequence[str]) -> None:
        self.app, self.digests = app, [digest(key) for key in keys]

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self.is_known(Headers(scope=scope)):
            refusal = error_response(
                401,
                "This server needs a key: send the header `Authorization: Bearer KEY`.",
                {"WWW-Authenticate": "Bearer"},
            )
            return await refusal(scope, receive, send)
        await self.app(scope, receive, send)

    def is_known(self, headers: Headers) -> bool:
        """Whether a request has one of the keys. The time that it takes says nothing about them."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = digest(key.strip())
        matches = [hmac.compare_digest(given, known) for known in self.digests]
        return scheme.lower() == "bearer" and any(matches)


def check_keys(keys: Sequence[str]) -> None:
    """Raises a `ValueError` for a key that a header cannot hold. The message does not show it."""
    for number, key in enumerate(keys, 1):
        if not (key.isascii() and key.isprintable() and key == key.strip() != ""):
            raise ValueError(
                "`api_keys` must be texts of printable ASCII characters without spaces around them, but number "
                f"{number} of {len(keys)} is none. Choose another."
            )


def digest(key: str) -> bytes:
    """What is compared of a key: it has the same length for all of them."""
    return sha256(key.encode()).digest()
