# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Errors in the format of OpenAI."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from .worker import WorkerDied


def error_object(status_code: int, message: str) -> dict[str, Any]:
    """An error in the format of OpenAI."""
    kind = "invalid_request_error" if status_code < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def error_response(status_code: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An answer that is an error."""
    return JSONResponse(error_object(status_code, message), status_code, headers)


def status_and_message(error: Exception) -> tuple[int, str]:
    """The status of an error, and what the client is told."""
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    if isinstance(error, ValueError):
        return 400, str(error)
    if isinstance(error, WorkerDied):
        return 503, str(error)
    return 500, f"The server has failed: {type(error).__name__}: {error}"
