# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The Gradio Space of modeling_llada: watch LLaDA denoise text."""
