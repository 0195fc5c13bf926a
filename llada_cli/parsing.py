# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The argument parser of the command."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches


class CommandParser(argparse.ArgumentParser):
    """A parser that keeps the layout of its examples and answers a mistake in one line instead of a page of usage."""

    # Gets the arguments before they are parsed, and may add options that depend on them.
    prepare: Callable[[Sequence[str]], None] | None = None
    hint = ""  # a sentence for the error about an unknown option

    def __init__(self, **kwargs) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)

    def parse_known_args(self, args=None, namespace=None):
        """Knows all of them: `argparse` calls this for each subcommand, whose options the advice is about."""
        self._typed = sys.argv[1:] if args is None else list(args)
        if self.prepare is not None:
            self.prepare(args)
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def error(self, message: str) -> None:
        advice = self._advice(message)
        self.exit(2, f"llada: error: {message}{'. ' if advice else ''}{advice} (see `{self.prog} --help`)\n")

    def _advice(self, message: str) -> str:
        """What was meant, if a name is near what was typed, or how to write what begins with a dash."""
        if choice := re.search(r"invalid choice: '(.+?)' \(choose from (.+)\)", message):
            return did_you_mean(choice[1], re.findall(r"[^', ]+", choice[2]))
        if option := re.search(r"(--\S+): expected one argument", message):
            return f"A value that begins with a dash is written as {option[1]}=-VALUE."
        options = [one.partition("=")[0] for one in self._typed if one.startswith("-")]
        unknown = [one for one in options if one not in self._option_string_actions]
        if "--" in unknown:
            return "Options come before `--`."
        meant = " ".join(did_you_mean(one, self._option_string_actions) for one in unknown).strip()
        if unknown and not meant and not unknown[0].startswith("--"):
            return f"Write `--` before a text that begins with a dash: {self.prog} -- {unknown[0]!r}."
        return meant or (self.hint if unknown else "")


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """The advice for a name with a typing error, `""` if no known name is near."""
    close = get_close_matches(typed, known, n=1)
    return f"Did you mean {close[0]}?" if close else ""
