# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`python -m modeling_llada.cli`: the `llada` command where its script is not on the path.

The command itself is the package `llada_cli`, which answers `--help` without importing torch.
"""

import sys

from llada_cli import main


if __name__ == "__main__":
    sys.exit(main())
