# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Runs transformers-mlinter on the package, without the rules that mlinter.toml switches off.

mlinter takes a whole rules file and has no option to leave a rule out. So its bundled rules are copied to a temporary
file with those rules disabled: what a new version adds is checked at once.

    python .ci/lint_models.py
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.resources import files
from pathlib import Path


def main() -> int:
    """Returns the exit code of mlinter."""
    root = Path(__file__).parent.parent
    switched_off = tomllib.loads((root / ".ci/mlinter.toml").read_text(encoding="utf-8"))
    rules = disable((files("mlinter") / "rules.toml").read_text(encoding="utf-8"), list(switched_off))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.toml"
        path.write_text(rules, encoding="utf-8")
        command = [sys.executable, "-m", "mlinter", "--no-progress", "--no-cache", "--rules-toml", str(path)]
        return subprocess.run([*command, str(root / "modeling_llada")], check=False).returncode


def disable(rules: str, names: list[str]) -> str:
    """Switches rules off.

    Args:
        rules (`str`):
            The bundled rules file.
        names (`list[str]`):
            The rules to switch off.

    Returns:
        `str`: The rules file with `default_enabled = false` for them.

    Raises:
        `ValueError`: if a rule is not there, or is off already.
    """
    for name in names:
        pattern = rf"(\[rules\.{name}\]\n(?:(?!\[).*\n)*?default_enabled = )true"
        rules, count = re.subn(pattern, r"\1false", rules)
        if count != 1:
            raise ValueError(f"`{name}` in mlinter.toml is no rule of mlinter that is on by default. Remove the line.")
    return rules


if __name__ == "__main__":
    sys.exit(main())
