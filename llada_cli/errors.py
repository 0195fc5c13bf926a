# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What goes wrong, in one line."""

import sys


class CommandError(Exception):
    """An error of the user, shown in one line without a traceback."""


def warn(message: str) -> None:
    """Writes a warning to stderr."""
    sys.stderr.write(f"llada: warning: {message}\n")
