# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The argument parser of the command."""

import argparse
from collections.abc import Callable, Sequence


class CommandParser(argparse.ArgumentParser):
    """A parser that keeps the layout of its examples and answers a mistake in one line instead of a page of usage."""

    # Gets the arguments before they are parsed, and may add options that depend on them.
    prepare: Callable[[Sequence[str]], None] | None = None
    hint = ""  # a sentence for the error about an unknown option

    def __init__(self, **kwargs) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)

    def parse_known_args(self, args=None, namespace=None):
        if self.prepare is not None:
            self.prepare(args)
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown and self.hint:
            self.error(f"unrecognized arguments: {' '.join(unknown)}. {self.hint}")
        return namespace, unknown

    def error(self, message: str) -> None:
        self.exit(2, f"llada: error: {message} (see `{self.prog} --help`)\n")
