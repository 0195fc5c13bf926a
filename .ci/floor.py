# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Prints the oldest releases that pyproject.toml allows, as constraints for pip.

python .ci/floor.py > floor.txt
pip install -e ".[test]" -c floor.txt
"""

import re
import tomllib
from pathlib import Path


# torch has the release of README.md: another one is a download of gigabytes.
LEFT_OUT = {"torch"}


def main() -> None:
    """Turns each `name>=version` into `name==version`."""
    path = Path(__file__).parent.parent / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    requirements = {*project["dependencies"], *sum(project["optional-dependencies"].values(), [])}
    for requirement in sorted(requirements):
        found = re.match(r"([\w-]+)>=([\d.]+)", requirement)
        if found and found[1] not in LEFT_OUT:
            print(f"{found[1]}=={found[2]}")


if __name__ == "__main__":
    main()
