# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tokenizer of an exported folder: it declares its mask token, and its chat template marks the answers."""

import json
import re
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase, ProcessorMixin

from ..models.configuration_llada import LLaDAConfig


CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")
# The tokens of our chat template. A tokenizer without them was made for another format.
HEADER_TOKENS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
PROBE = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " Hello! "},
    {"role": "assistant", "content": "Hello.\n"},
    {"role": "user", "content": "Bye."},
]


def load_tokenizer(source: str, config: LLaDAConfig) -> PreTrainedTokenizerBase:
    """
    Loads the tokenizer of a checkpoint and declares the mask token of the config, which the official tokenizer does not.
    It is an error if there is no tokenizer or it does not fit the model.
    """
    # The libraries raise many kinds of errors for a missing or damaged file, and all have the same remedy.
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise ValueError(
            f"there is no tokenizer in {source!r}, or it cannot be read. Pass a folder or a Hub id as `tokenizer` "
            "(`--tokenizer PATH_OR_ID`), or export without one by `include_tokenizer=False` (`--no-tokenizer`)."
        ) from error
    # The placeholders of images may lie behind the embedding.
    if len(tokenizer) > getattr(config, "num_input_ids", config.vocab_size):
        raise ValueError(
            f"`tokenizer` must fit the embedding, but {source!r} has {len(tokenizer)} tokens and the embedding "
            f"{config.vocab_size} rows. Pass the tokenizer that the model was trained with."
        )
    declare_mask_token(tokenizer, config.mask_token_id)
    return tokenizer


def declare_mask_token(tokenizer: PreTrainedTokenizerBase, mask_token_id: int) -> None:
    """Makes the token of this id the mask token. No token is added."""
    token = tokenizer.convert_ids_to_tokens(mask_token_id)
    if token is None or tokenizer.mask_token_id not in (None, mask_token_id):
        found = (
            "no token of this id" if token is None else f"{tokenizer.mask_token!r} as its mask token, not {token!r}"
        )
        raise ValueError(
            f"`mask_token_id` of the config is {mask_token_id}, but the tokenizer has {found}. Pass the tokenizer that "
            "the model was trained with."
        )
    tokenizer.mask_token = token


def set_chat_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """
    Gives the tokenizer a chat template with `{% generation %}` marks, if its format is known. A template without marks
    is replaced only if ours renders the same prompt. Returns a note for the user.
    """
    template = tokenizer.chat_template
    if template is not None and GENERATION_MARK.search(str(template)):
        return "chat template: kept, it marks what is generated"
    has_headers = all(token in tokenizer.get_vocab() for token in HEADER_TOKENS)
    if template is None and not has_headers:
        return "chat template: none, since the tokenizer has neither one nor the tokens of the LLaDA format"

    ours = CHAT_TEMPLATE.read_text(encoding="utf-8")
    if template is None:
        tokenizer.chat_template = ours
        return "chat template: added, in the LLaDA format"
    if has_headers and render_prompt(tokenizer, template) == render_prompt(tokenizer, ours):
        tokenizer.chat_template = ours
        return "chat template: replaced by one that renders the same prompts and marks what is generated"
    return "chat template: kept, but it has no generation marks, which training on the answers needs"


def render_prompt(tokenizer: PreTrainedTokenizerBase, template: str | dict) -> str | None:
    """The prompt that a template renders for a chat, or `None` if it refuses the chat."""
    if not isinstance(template, str):
        return None
    # A template may raise any error to refuse a role.
    try:
        return tokenizer.apply_chat_template(PROBE, chat_template=template, add_generation_prompt=True, tokenize=False)
    except Exception:
        return None


def save_tokenizer(
    tokenizer: PreTrainedTokenizerBase, folder: Path, layout: str, processor: ProcessorMixin | None = None
) -> None:
    """
    Saves the tokenizer, and the processor that it belongs to. In the official layout transformers 4 can read it, which the
    official code needs.
    """
    if processor is None:
        tokenizer.save_pretrained(folder, save_jinja_files=layout == "transformers")
    else:
        processor.tokenizer = tokenizer
        processor.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    for how_it_was_loaded in ("is_local", "local_files_only"):
        fields.pop(how_it_was_loaded, None)
    if layout == "official":
        fields.pop("backend", None)
        if fields.get("tokenizer_class") == "TokenizersBackend":
            fields["tokenizer_class"] = "PreTrainedTokenizerFast"
        if isinstance(fields.get("extra_special_tokens"), list):
            fields["additional_special_tokens"] = fields.pop("extra_special_tokens")
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
