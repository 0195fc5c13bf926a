# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Errors of scripts, in the form of those of `llada`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path


def run_script(main: Callable[[], None]) -> None:
    """
    Runs a script. Bad input ends it with one message and exit code 2, Ctrl-C with 130. `LLADA_DEBUG=1` shows the
    traceback of an error.

    Args:
        main (`Callable`):
            The script.

    Raises:
        `SystemExit`: after an error or Ctrl-C.
    """
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError) as error:
        if os.environ.get("LLADA_DEBUG") == "1":
            raise
        sys.stderr.write(f"{Path(sys.argv[0]).name}: error: {error}\n")
        sys.exit(2)
