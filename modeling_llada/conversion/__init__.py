# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From an autoregressive checkpoint to a mask predictor: the same weights without the causal mask, to train on from.

Position i predicts token i, as in LLaDA, where the autoregressive model predicted token i + 1. So a converted model has to be
trained before it writes anything.

- `checkpoint.py`: the conversion
- `families.py`: which models can be converted
- `special_tokens.py`: the mask token, and the tokens that end a text
"""

from .checkpoint import convert_autoregressive, from_autoregressive
from .special_tokens import add_mask_token


__all__ = ["add_mask_token", "convert_autoregressive", "from_autoregressive"]
