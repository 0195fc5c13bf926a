# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The Space. `python app.py` serves it at GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""

import contextlib
import os


os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

on_gpu = {}
with contextlib.suppress(ImportError):  # only Spaces have it, and it must come before torch
    import spaces

    on_gpu = {"on_gpu": spaces.GPU(duration=120)}

from llada_cli.terminal import quiet_libraries  # noqa: E402


quiet_libraries()

from llada_space.quick_import import import_gradio  # noqa: E402


import_gradio()

from llada_space.interface import build, launch_options  # noqa: E402
from llada_space.models import open_models  # noqa: E402
from llada_space.runner import Runner  # noqa: E402


demo = build(Runner(open_models(), **on_gpu))

if __name__ == "__main__":
    demo.launch(**launch_options())
