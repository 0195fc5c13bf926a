# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Names that belong to other decoders, and what to use here in their place.

Autoregressive options of transformers mean nothing in diffusion decoding, and other code for LLaDA has other names for the
same thing. A value that asks for nothing passes, such as `num_beams=1`. Any other one is an error that says what to do.
"""

import difflib
import re
import reprlib
from functools import cache
from typing import Any

from transformers import GenerationConfig

from .options_llada import OPTIONS


OWN_PROCESSOR = (
    "pass a `logits_processor` of your own: that of transformers takes the canvas for a text that was written from left to "
    "right"
)
# fmt: off
GROUPS = (
    ("max_length", "use `max_new_tokens`, which does not count the prompt"),
    ("max_tokens max_completion_tokens max_gen_toks gen_len length num_tokens", "use `max_new_tokens`"),
    ("min_length min_new_tokens min_tokens",
     "use `confidence_eos_eot_inf=True`, which decides about the end last, or `logits_eos_inf=True`, which fills the canvas"),
    ("num_beams num_beam_groups early_stopping length_penalty diversity_penalty penalty_alpha dola_layers best_of n",
     "use `num_return_sequences` with a `temperature` for several completions; there is no search"),
    ("constraints force_words_ids",
     "pass a `constraint`, or write what is known into the prompt, with mask tokens for the rest"),
    ("regex json_schema guided_json guided_regex guided_choice grammar response_format",
     "pass a `constraint`, such as `Constraint.from_regex(pattern, tokenizer)`"),
    ("use_cache past_key_values cache_implementation cache_config max_cache_len cache prefill_chunk_size",
     'use `block_cache="dual"` with a `block_length`'),
    ("assistant_model assistant_tokenizer prompt_lookup_num_tokens use_mtp speculation_type",
     "use `draft_steps`, which needs no second model"),
    ("output_scores output_logits", "use `output_trajectory=True` for confidences; a `logits_processor` sees all scores"),
    ("output_attentions output_hidden_states", "call the model itself: `model(input_ids, ...)`"),
    ("inputs prompt prompt_ids inputs_embeds", "pass token ids as `input_ids`, which the canvas consists of"),
    ("position_ids", "leave it out: positions follow from `attention_mask`"),
    ("labels", "call `model(input_ids, labels=...)` or `log_likelihood`"),
    ("max_time", "pass `stopping_criteria=[MaxTimeCriteria(seconds)]`"),
    ("stop stop_words stop_sequence stop_sequences until", "use `stop_strings`, with the `tokenizer`"),
    ("stop_token_ids", "use `eos_token_id`, which may be a list"),
    ("guidance_scale negative_prompt_ids cfg", "use `cfg_scale`; a guidance scale is `1 + cfg_scale`"),
    ("seed", "pass `generator=torch.Generator(device).manual_seed(seed)`"),
    ("num_inference_steps diffusion_steps num_steps", "use `steps`"),
    ("block_size", "use `block_length`"),
    ("alg", "use `remasking`"),
    ("synced_gpus", "leave it out: each process decodes its own rows, and needs all of the weights"),
    ("greedy", "use `temperature=0`, which is the default"),
    ("top_h", "pass `logits_processor=[TopHLogitsWarper(top_h)]`"),
    ("typical_p", "pass `logits_processor=[TypicalLogitsWarper(mass)]`"),
    ("epsilon_cutoff", "pass `logits_processor=[EpsilonLogitsWarper(epsilon)]`"),
    ("eta_cutoff", "pass `logits_processor=[EtaLogitsWarper(epsilon)]`"),
    ("repetition_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size encoder_repetition_penalty bad_words_ids sequence_bias "
     "begin_suppress_tokens forced_bos_token_id forced_eos_token_id exponential_decay_length_penalty watermarking_config "
     "token_healing prefix_allowed_tokens_fn", OWN_PROCESSOR),
    # Arguments of `generate`, for those who put them into a config.
    ("input_ids attention_mask logits_processor stopping_criteria streamer generator tokenizer constraint",
     "pass it to `generate` itself"),
)
# fmt: on
# The names that publications have for our options.
PUBLISHED = {
    name: f"use `{option.name}`"
    for option in OPTIONS
    for name in re.findall(r"`(\w+)`", option.published or "")
    if name != option.name
}
CURES = PUBLISHED | {name: cure for names, cure in GROUPS for name in names.split()}
OWN_NAMES = tuple(option.name for option in OPTIONS)


@cache
def neutral_values() -> dict[str, Any]:
    """The options of the library and the values of them that ask for nothing: its defaults, and a few more."""
    more = {"guidance_scale": 1, "min_new_tokens": 0, "penalty_alpha": 0, "n": 1, "best_of": 1}
    # What is typed is meant, though it was the default once.
    more |= {"max_length": None, "use_cache": None}
    return vars(GenerationConfig()) | GenerationConfig._get_default_generation_params() | more


def is_neutral(name: str, value: Any) -> bool:
    """Whether an option that LLaDA does not have is set to a value that asks for nothing."""
    if value is None:
        return True
    neutral = neutral_values()
    if name not in CURES and name not in neutral:
        return False  # not even `False`: it may be one of our options with a typing error
    return value is False or (isinstance(value, (int, float, str)) and value == neutral.get(name))


def explain(foreign: dict[str, Any]) -> str:
    """What to use in the place of options that LLaDA does not have."""
    return " ".join(f"`{name}={reprlib.repr(value)}`: {cure_of(name)}." for name, value in foreign.items())


def cure_of(name: str) -> str:
    """What to use in the place of an option that LLaDA does not have."""
    if name in CURES:
        return CURES[name]
    is_known = name in neutral_values()  # then it is no typing error, though another name may be close
    close = difflib.get_close_matches(name, [*OWN_NAMES, *CURES], n=1)
    if is_known or not close:
        return "leave it out; `LLaDAGenerationConfig` lists the options"
    return f"is `{close[0]}` meant? " + (f"Then {CURES[close[0]]}" if close[0] in CURES else "Then write it so")


__all__ = ["CURES"]
