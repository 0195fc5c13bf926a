# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The argument parser of the command."""

import argparse


class CommandParser(argparse.ArgumentParser):
    """A parser that keeps the layout of its examples and answers a mistake in one line instead of a page of usage."""

    def __init__(self, **kwargs) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> None:
        self.exit(2, f"llada: error: {message} (see `{self.prog} --help`)\n")
