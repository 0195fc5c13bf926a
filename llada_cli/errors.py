# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Errors and warnings of the command."""

import sys


class CommandError(Exception):
    """An error of the user. The command shows it in one line, without a traceback."""


def warn(message: str) -> None:
    """Writes a warning to stderr."""
    sys.stderr.write(f"llada: warning: {message}\n")
