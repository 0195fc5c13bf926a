# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Ends of scripts: errors in the form of those of `llada`, and processes that leave together."""

import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from tqdm import tqdm
from transformers.utils import logging

from ..pipes import quiet_when_closed


# After the first process of a machine has ended, `torchrun` ends the others in less time than this.
SECONDS_OF_SILENCE = 3


def run_script(main: Callable[[], None], name: str | None = None) -> None:
    """
    Runs a script. Bad input ends it with one message and exit code 2, Ctrl-C with 130. `LLADA_DEBUG=1` shows the
    traceback of an error. Of processes that were started together, the first of a machine says it, or another one that
    meets an error alone.

    Args:
        main (`Callable`):
            The script.
        name (`str`, *optional*):
            How messages call it. By default by its file.

    Raises:
        `SystemExit`: after an error or Ctrl-C.
    """
    name = name or Path(sys.argv[0]).name
    is_first = os.environ.get("LOCAL_RANK", "0") == "0"
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # of files that are loaded and saved
        if "datasets" in sys.modules:
            sys.modules["datasets"].disable_progress_bars()
    try:
        with quiet_when_closed():
            main()
    except KeyboardInterrupt as interrupt:
        _end(130, f"{name}: interrupted. {interrupt}" if is_first else "")
    except (ValueError, OSError, StrictDataclassError) as error:
        if os.environ.get("LLADA_DEBUG") == "1":
            raise
        if not is_first:
            time.sleep(SECONDS_OF_SILENCE)  # mostly the first process meets the same error, and says it for all
            name += f" (process {os.environ.get('RANK', os.environ['LOCAL_RANK'])})"
        _end(2, f"{name}: error: {error}")
    if torch.distributed.is_initialized():
        # First the trainer: a process can wait for itself if DDP is the last user of a gloo group.
        gc.collect()
        torch.distributed.destroy_process_group()


def _end(code: int, message: str) -> None:
    for bar in list(tqdm._instances):  # the message would stand behind it, and Python would draw it once more
        bar.close()
    if message:
        sys.stderr.write(" ".join(message.split()) + "\n")
    sys.exit(code)
