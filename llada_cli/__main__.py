# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`python -m llada_cli`: the `llada` command, for programs that start a module."""

import sys

from . import main


sys.exit(main())
