# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tokenizer of a folder in the official layout, and its JSON files."""

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


# Like the official one: no marks, and EOS where no answer is asked for.
OFFICIAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% else %}{{ eos_token }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' + message['content'] }}<|im_end|>{% endfor %}"
)


def official_tokenizer(chat_template=OFFICIAL_TEMPLATE, headers=True):
    """Bytes and special tokens with the ids of the golden checkpoint. Like the official one, it declares no mask token."""
    vocabulary = {token: i for i, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {f"<unused{i}>": i for i in range(256, 300)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    turns = ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"] if headers else ["<a>", "<b>", "<c>"]
    special = ["<|startoftext|>", "<|endoftext|>", *turns, *(f"<|reserved{i}|>" for i in range(14)), "<|mdm_mask|>"]
    backend.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|mdm_mask|>"],
    )
    tokenizer.chat_template = chat_template
    assert tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|mdm_mask|>"]) == [301, 319]
    return tokenizer


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def change_json(path, **fields):
    path.write_text(json.dumps(read_json(path) | fields), encoding="utf-8")
