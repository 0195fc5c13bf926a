# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Builds the character tokenizer of the checkpoint llada-poet: one token for each character, reversible, without added tokens.

The ids are fixed by this file and vocab_han.json:

| ids | tokens |
|---|---|
| 0 | `<|endoftext|>`, end of text and padding |
| 1 | `<|startoftext|>` |
| 2 | `[MASK]` |
| 3, 4, 5 | `<|start_header_id|>`, `<|end_header_id|>`, `<|eot_id|>` |
| 6 | `<|unk|>`, for characters outside the vocabulary; no training text holds one |
| 7 | newline |
| 8 to 102 | printable ASCII |
| 103 to 120 | Chinese punctuation |
| from 121 | Han characters, the most frequent first |
| the rest | `<|reserved_0|>`..., which make the size a multiple of 64 |
"""

import argparse
import os
import shutil
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from recipes.poems.alphabet import load_alphabet
from recipes.symbols import END, MASK, START, UNKNOWN, finish_tokenizer


CHAT_MARKS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
SPECIAL_TOKENS = (END, START, MASK, *CHAT_MARKS, UNKNOWN)
VOCABULARY_MULTIPLE = 64
MODEL_MAX_LENGTH = 1024
CHAT_TEMPLATE = Path(__file__).parent / "chat_template.jinja"


def main() -> None:
    """Writes the tokenizer files as the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python -m recipes.poems.build_tokenizer --output checkpoints/llada-poet",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, help="the folder to write into; its other files stay")
    args = parser.parse_args()
    tokenizer = build_tokenizer(load_alphabet())
    save(tokenizer, args.output)
    print(f"{len(tokenizer):,} tokens, [MASK] is {tokenizer.mask_token_id}: {args.output}")


def token_list(alphabet: list[str]) -> list[str]:
    """Lists every token in the order of the ids, and then unused special tokens up to a multiple of 64."""
    tokens = [*SPECIAL_TOKENS, *alphabet]
    if len(set(tokens)) != len(tokens):
        doubled = sorted({token for token in tokens if tokens.count(token) > 1})
        raise ValueError(f"`alphabet` must not name a character twice; got {doubled}. Remove the second one.")
    return tokens + [f"<|reserved_{i}|>" for i in range(-len(tokens) % VOCABULARY_MULTIPLE)]


def build_tokenizer(alphabet: list[str]) -> PreTrainedTokenizerFast:
    """Builds the tokenizer of an alphabet. It adds no tokens and pads on the left, as decoding needs."""
    tokens = token_list(alphabet)
    backend = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNKNOWN))
    # "." does not match newlines.
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    specials = [*SPECIAL_TOKENS, *(token for token in tokens if token.startswith("<|reserved_"))]
    return finish_tokenizer(
        backend, specials, MODEL_MAX_LENGTH, chat_template=CHAT_TEMPLATE.read_text(encoding="utf-8")
    )


def save(tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """Writes the files into a temporary folder and then moves them to the output, which may have weights already."""
    partial = output.with_name(output.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    tokenizer.save_pretrained(partial)
    output.mkdir(parents=True, exist_ok=True)
    for path in sorted(partial.iterdir()):
        os.replace(path, output / path.name)
    partial.rmdir()


if __name__ == "__main__":
    main()
