# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The table of decoding options: what every entry promises, and what is made from it."""

import subprocess
import sys

import pytest

from modeling_llada import LLaDAGenerationConfig
from modeling_llada.models import options_llada
from modeling_llada.models.options_llada import EXCLUSIONS, OPTIONS, PARALLEL_RULES
from modeling_llada.models.remasking_llada import CONFIDENCES
from modeling_llada.models.remasking_llada import PARALLEL_RULES as RULES


NAMES = [option.name for option in OPTIONS]
ONE_BY_ONE = pytest.mark.parametrize("option", OPTIONS, ids=NAMES)


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@ONE_BY_ONE
def test_help_is_full_sentences(option):
    assert option.help[0].isupper() or option.help[0] == "`"
    assert option.help.endswith(".")


@ONE_BY_ONE
def test_default_and_example_are_valid(option):
    option.check(option.default)
    option.check(option.example)


@ONE_BY_ONE
def test_other_options_are_named_right(option):
    assert {option.refines, option.below, *option.beside} - {None} <= set(NAMES)


def test_exclusions_are_named_right():
    assert {name for first, second, _ in EXCLUSIONS for name in (first, second)} <= set(NAMES)


def test_options_of_the_command_line_have_an_example():
    assert [option.name for option in OPTIONS if option.on_command_line and option.example is None] == []


@ONE_BY_ONE
def test_the_docstring_of_the_config_describes_it(option):
    assert f"\n        {option.name} (" in LLaDAGenerationConfig.__doc__


@ONE_BY_ONE
def test_the_config_has_it(option):
    assert getattr(LLaDAGenerationConfig(), option.name) is None
    if option.example is not None:
        assert getattr(LLaDAGenerationConfig(**{option.name: option.example}), option.name) == option.example


def test_every_parallel_rule_is_implemented():
    assert set(PARALLEL_RULES) <= set(RULES) <= set(NAMES)
    assert all(set(rule.options) <= set(NAMES) and rule.confidence in CONFIDENCES for rule in RULES.values())


def test_every_remasking_has_a_confidence():
    (remasking,) = (option for option in OPTIONS if option.name == "remasking")
    assert set(remasking.choices) == set(CONFIDENCES)


def test_the_table_needs_neither_torch_nor_transformers():
    code = "import runpy, sys; sys.modules |= {'torch': None, 'transformers': None}; runpy.run_path(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, options_llada.__file__], check=True)
