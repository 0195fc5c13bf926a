# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Constraints from text: JSON schemas and grammars become regular expressions, and these become automata over tokens."""
