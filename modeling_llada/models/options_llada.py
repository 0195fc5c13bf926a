# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The decoding options: each one is described here, once.

[`LLaDAGenerationConfig`] and its docstring, the checks of values, the engine's list of what a recording depends on, the
flags of the commands, the fields of the Space and the tables of README.md and docs/decoding.md are made from this table.
It imports nothing heavy, since `llada --help` reads it.
"""

import math
import sys
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any


LAST_TOKEN_ID = 2**63 - 1  # what a tensor can hold


@dataclass(frozen=True)
class Option:
    """A decoding option. `None` always means that it is unset."""

    name: str  # of the keyword argument of `generate`
    kind: str  # "int", "float", "bool", "choice", "token" (a token id), "tokens", "strings" (one or several), or the name of a class
    help: str  # what it does, in one or two sentences
    default: Any = None  # the value that `generate` uses when the option is unset everywhere
    unset: str = "off"  # in words, what happens when it is unset and has no default
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()  # the values of a "choice"
    also: str | None = None  # what else `generate` accepts for it
    refines: str | None = None  # the option without which it means nothing
    below: str | None = None  # the option whose value it has to be below
    is_parallel_rule: bool = False  # one of the rules of `remasking_llada.py`, of which at most one can be set
    finishes_early: bool = False  # like a parallel rule, it can complete a block before the end of the schedule
    shapes_output: bool = (
        False  # changes the form of the output of `generate`; a server, which returns a text, refuses it
    )
    is_recorded: bool = True  # the steps that the engine records depend on its value
    example: Any = None  # a typical value, published where there is one
    purpose: str | None = None  # what a user wants who sets it to `example`; the README lists options with a purpose
    beside: tuple[str, ...] = ()  # the options that should be set beside it for that purpose
    published: str | None = None  # its name in the official code, or in the code that is named
    label: str | None = None  # its name in the Space, which does not offer it without one
    form_maximum: float | None = None  # the highest number that the Space offers, if that is lower than `maximum`
    on_command_line: bool = True  # the commands have a flag for it

    @property
    def default_text(self) -> str:
        """The default in words."""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if self.kind == "float" and self.default is not None:
            return f"{self.default:g}"
        return self.unset if self.default is None else str(self.default)

    def is_set(self, value: Any) -> bool:
        """Whether a value changes anything."""
        return value is not None and value != self.default

    def check(self, value: Any) -> None:
        """Raises a `ValueError` if the option cannot have a value. Classes are not known here, and not checked."""
        if value is None:
            return
        if self.kind == "int":
            check_integer(self.name, value, self.minimum, self.maximum)
        elif self.kind == "token":
            check_integer(self.name, value, 0, LAST_TOKEN_ID)
        elif self.kind == "float":
            check_number(self.name, value, self.minimum, math.inf if self.maximum is None else self.maximum)
        elif self.kind == "tokens":
            check_token_ids(self.name, value)
        elif self.kind == "strings":
            check_strings(self.name, value)
        elif self.kind == "bool":
            check_bool(self.name, value)
        elif self.kind == "choice" and not (isinstance(value, str) and value in self.choices):
            choices = ", ".join(self.choices) + (f", or {self.also}" if self.also else "")
            raise ValueError(f"`{self.name}` must be one of {choices}, but got {value!r}.")


def check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be `True` or `False`, but got {value!r}.")


def check_class(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"`{name}` must be a {kind.__name__}, but got {value!r}.")
    return value


def check_integer(name: str, value: Any, minimum: int, maximum: int | None = None) -> None:
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not (is_integer and minimum <= value and (maximum is None or value <= maximum)):
        bounds = f"of at least {minimum}" if maximum is None else f"in [{minimum}, {maximum}]"
        raise ValueError(f"`{name}` must be an integer {bounds}, but got {value!r}.")


def check_number(name: str, value: Any, minimum: float, maximum: float = math.inf) -> None:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if (
        is_number
    ):  # `math.isfinite` fails on an integer beyond the floats; the largest float overflows in a float32 of NumPy
        is_number = abs(value) <= sys.float_info.max if isinstance(value, Integral) else math.isfinite(value)
    if not (is_number and minimum <= value <= maximum):
        bounds = f"of at least {minimum}" if math.isinf(maximum) else f"in [{minimum}, {maximum}]"
        raise ValueError(f"`{name}` must be a finite number {bounds}, but got {value!r}.")


def check_token_ids(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)):
        check_integer(name, value, 0, LAST_TOKEN_ID)
        return
    if not value:
        raise ValueError(f"`{name}` must be an id or a list of ids, but the list is empty. Use `None` for no token.")
    for token_id in value:
        check_integer(name, token_id, 0, LAST_TOKEN_ID)


def check_strings(name: str, value: Any) -> None:
    strings = [value] if isinstance(value, str) else value
    if not isinstance(strings, (list, tuple)) or not all(isinstance(one, str) and one for one in strings):
        raise ValueError(f"`{name}` must be a text or a list of texts, none of them empty, but got {value!r}.")


# fmt: off
OPTIONS = (
    # The canvas and its schedule
    Option("max_new_tokens", "int", minimum=0, default=128, is_recorded=False,
        help="Number of mask tokens after the prompt, which is the longest possible completion. 0 only fills the mask "
             "tokens of the prompt.",
        example=256, purpose="a longer completion", published="`gen_length`", label="Length (masks)"),
    Option("steps", "int", minimum=1, unset="one for each mask token", is_recorded=False,
        help="Denoising steps of the whole call, split over the blocks. Fewer steps are faster and less careful.",
        example=64, purpose="a fixed number of forward passes", published="`steps`", label="Denoising steps"),
    Option("block_length", "int", minimum=1, unset="one block (pure diffusion)", is_recorded=False,
        help="Length of the blocks that are decoded from left to right (semi-autoregressive). It need not divide the "
             "length of the completion.",
        example=32, purpose="blocks from left to right, which caches and stopping need", published="`block_length`", label="Block length"),

    # What is proposed
    Option("temperature", "float", minimum=0.0, default=0.0, is_recorded=False,
        help="Temperature of the Gumbel-max sampling. 0 takes the most probable token; more brings variety.",
        example=0.8, purpose="varied completions", beside=("block_length", "remasking"), published="`temperature`",
        label="Temperature", form_maximum=2.0),
    Option("do_sample", "bool", unset="whether the temperature is above 0", is_recorded=False, on_command_line=False,
        help="`False` takes the most probable token at any temperature; `True` without a temperature means "
             "temperature 1."),
    Option("top_k", "int", minimum=0, unset="no limit",
        help="Sampling proposes only one of this many tokens, the most probable ones. Confidences stay those of the whole "
             "vocabulary.",
        example=50, label="Top-k", form_maximum=1000),
    Option("top_p", "float", minimum=0.0, maximum=1.0, unset="no limit",
        help="Sampling proposes only one of the most probable tokens that together reach this probability. Confidences "
             "stay those of the whole vocabulary.",
        example=0.9, label="Top-p"),
    Option("min_p", "float", minimum=0.0, maximum=1.0, unset="no limit",
        help="Sampling proposes only tokens that are at least this probable in relation to the most probable one.",
        example=0.05, label="Min-p"),
    Option("cfg_scale", "float", minimum=0.0, default=0.0,
        help="Scale of the unsupervised classifier-free guidance (eq. 16 of the paper). It keeps the completion closer to "
             "the prompt, at twice the work for each forward pass.",
        example=0.5, purpose="completions that stay closer to the prompt", published="`cfg_scale`", label="Guidance",
        form_maximum=4.0),
    Option("cfg_text_only", "bool", default=False,
        help="With guidance, mask only the text of the prompt and keep its images. By default both are masked.",
        example=True),
    Option("logits_eos_inf", "bool", default=False,
        help="Never propose EOS, so that the completion fills the canvas (appendix B.4 of the paper).",
        example=True, published="`logits_eos_inf`", label="Never end"),
    Option("suppress_tokens", "tokens", unset="none", on_command_line=False,
        help="Tokens that are never proposed.", example=[126081]),

    # What is committed
    Option("remasking", "choice", choices=("low_confidence", "random", "margin", "entropy"), default="low_confidence",
        help="Which predictions are committed first: the most probable ones, random ones, those with the largest margin "
             "between the two best tokens, or those of the lowest entropy.",
        also="a callable given to `generate`", example="random", published="`remasking`",
        label="What is committed first"),
    Option("confidence_threshold", "float", minimum=0.0, maximum=1.0, is_parallel_rule=True,
        help="Parallel rule: commit every token whose probability is at least this. 0.9 saves forward passes at nearly the "
             "same text.",
        example=0.9, purpose="fewer forward passes, nearly the same text", published="`threshold` (Fast-dLLM)",
        label="Parallel: threshold"),
    Option("leap_threshold", "float", minimum=0.0, maximum=1.0, refines="confidence_threshold",
        below="confidence_threshold",
        help="Also commit the tokens near one that reached `confidence_threshold` if their own probability is at least "
             "this lower threshold (LocalLeap).",
        example=0.75, label="Parallel: leap"),
    Option("leap_radius", "int", minimum=1, default=4,
        help="Up to how many positions from a token that reached `confidence_threshold` the lower `leap_threshold` applies, "
             "within the active block.",
        example=4, label="Leap radius"),
    Option("confidence_factor", "float", minimum=0.0, is_parallel_rule=True,
        help="Parallel rule: commit the n most probable tokens as long as (n + 1)(1 - probability of the n-th) is at most "
             "this. Smaller is more careful.",
        example=1.0, published="`factor` (Fast-dLLM)", label="Parallel: factor", form_maximum=16.0),
    Option("entropy_bound", "float", minimum=0.0, is_parallel_rule=True,
        help="Parallel rule: commit the most certain tokens as long as their entropies, without the largest one, add up to "
             "at most this many nats (EB-Sampler). Smaller is more careful.",
        example=0.1, published="`gamma` (EB-Sampler)", label="Parallel: entropy", form_maximum=16.0),
    Option("exit_margin", "float", minimum=0.0, finishes_early=True,
        help="Exit when the rest is certain: fill a block as soon as the logits of its masks are on average this far above those "
             "of the next best tokens (after SchED). It goes with every rule.",
        example=6.0, published="`tau` (SchED)", label="Exit: margin", form_maximum=32.0),
    Option("min_commits", "int", minimum=1, default=1, finishes_early=True,
        help="Masks that each step commits at least, if the block has as many.",
        example=2, published="`num_to_transfer` (LLaDA2.1)"),
    Option("draft_steps", "int", minimum=2, finishes_early=True, is_recorded=False,
        help="Lossless parallel decoding: guess this many denoising steps ahead and verify them in one forward pass, on as "
             "many canvases (FreeDave). The tokens stay the same.",
        example=4, purpose="fewer forward passes and exactly the same text, for one prompt on a GPU",
        beside=("block_length", "block_cache"), label="Drafts", form_maximum=8),

    # What is taken back or edited
    Option("reopen_threshold", "float", minimum=0.0, maximum=1.0,
        help="Take back: beside a parallel rule, a committed token of the active block becomes a mask again when its probability, "
             "given the other tokens, is below this (WINO).",
        example=0.5, published="`tau2` (WINO)", label="Take back: threshold"),
    Option("edit_threshold", "float", minimum=0.0, maximum=1.0,
        help="Edit: a committed token of the active block changes when another one has a probability above this (LLaDA2.1). "
             "0 changes it whenever another one is the most probable.",
        example=0.5, published="`editing_threshold` (LLaDA2.1)"),
    Option("max_post_edit_steps", "int", minimum=0, default=16, refines="edit_threshold",
        help="Up to how many steps may edit a block that holds no mask any more. It is finished earlier if a step changes "
             "nothing.",
        example=16, published="`max_post_steps` (LLaDA2.1)"),
    Option("stutter_penalty", "float", minimum=0.0, default=0.0, refines="edit_threshold",
        help="Taken from the logit of the token that the position to the left holds, against repeated words. It applies "
             "inside the active block.",
        example=1.5, published="`penalty_lambda` (SGLang)"),
    Option("insert_delete", "bool", default=False, refines="edit_threshold",
        help="The tokens DELETE and INSERT, for which a model was trained and which its config names, remove a position of the "
             "active block, or put a mask in front of its token (LLaDA2.2).",
        example=True, published="`JointThresholdInDel` (SGLang)"),

    # What is recomputed
    Option("block_cache", "choice", choices=("prefix", "dual", "vicinity"), unset="no cache, which is exact",
        help="What a step recomputes inside a block: the block and everything after it (prefix), the block alone (dual), "
             "or the block and 16 positions on both sides (vicinity). The other keys and values stay as they were at the "
             "last refresh.",
        example="dual", purpose="cheaper forward passes for long prompts and batches", beside=("block_length",),
        published="`use_cache`, `dual_cache` (Fast-dLLM)", label="Cache"),
    Option("cache_refresh_interval", "int", minimum=1, unset="one refresh at the start of each block",
        refines="block_cache",
        help="Denoising steps between two refreshes of the cache inside a block. 1 is exact.",
        example=8, label="Cache refresh"),
    Option("suffix_window", "int", minimum=0, unset="all of them",
        help="How many positions after the active block the model sees.",
        example=256, label="Suffix window"),

    # Where a completion ends
    Option("confidence_eos_eot_inf", "bool", default=False,
        help="Commit EOS and EoT last, so that completions do not break off early (appendix B.4 of the paper). It has no "
             "effect on random remasking.",
        example=True, published="`confidence_eos_eot_inf`", label="Commit the end last"),
    Option("stop_at_eos", "bool", default=True, is_recorded=False,
        help="End a row after the block that holds its first EOS, and pad everything after that EOS.",
        example=False, purpose="the tokens of the official sampler, which never stops early", label="Stop at the end"),
    Option("skip_after_eos", "bool", default=False, finishes_early=True,
        help="With `stop_at_eos`: leave the masks behind an EOS that was committed in the completion as they are, and spend "
             "the steps on those before it. LLaDA-V was published so.",
        example=True),
    Option("stop_strings", "strings", finishes_early=True, is_recorded=False, on_command_line=False,
        help="End a row as soon as the text before its first mask holds one of these, and pad what follows. `generate` "
             "needs the `tokenizer` for it."),

    # What is returned
    Option("num_return_sequences", "int", minimum=1, maximum=2**16, default=1, shapes_output=True, is_recorded=False,
        help="Number of completions for each prompt.",
        example=4, purpose="several completions of each prompt", beside=("temperature",)),
    Option("return_dict_in_generate", "bool", default=False, shapes_output=True, is_recorded=False,
        on_command_line=False, help="Return a [`LLaDAGenerationOutput`] instead of the token ids."),
    Option("output_trajectory", "bool", default=False, shapes_output=True, is_recorded=False,
        on_command_line=False, help="Also return the step at which each token was committed, and its confidence."),

    # The engine
    Option("disable_compile", "bool", on_command_line=False,
        help="Do not record the denoising steps as CUDA graphs. By default they are recorded on CUDA devices where that is "
             "possible."),
    Option("compile_config", "CompileConfig", on_command_line=False,
        help="How `torch.compile` compiles the small operations of a recorded step. With it, steps are recorded on other "
             "devices too. It is not saved."),

    # Special tokens
    Option("bos_token_id", "token", unset="that of the model's config", is_recorded=False, on_command_line=False,
        help="The token at the beginning of a text."),
    Option("pad_token_id", "token", unset="that of the model's config", is_recorded=False, on_command_line=False,
        help="The token that fills a row after its EOS."),
    Option("mask_token_id", "token", unset="that of the model's config", on_command_line=False,
        help="The mask token.", published="`mask_id`"),
    Option("eos_token_id", "tokens", unset="that of the model's config", on_command_line=False,
        help="The tokens that end a completion."),
    Option("eot_token_id", "tokens", unset="that of the model's config", on_command_line=False,
        help="The tokens that end a turn of a chat."),
)

# Two options that cannot be set together, and the reason.
EXCLUSIONS = (
    ("draft_steps", "cache_refresh_interval", "the rows of a batch come to a refresh in different forward passes"),
    ("draft_steps", "edit_threshold", "a step that edits cannot be guessed"),
    ("draft_steps", "reopen_threshold", "a step that takes tokens back cannot be guessed"),
    ("reopen_threshold", "edit_threshold", "both change committed tokens, by checks of their own"),
    ("reopen_threshold", "block_cache", "the check of a token sees keys that a cache does not have"),
)
# fmt: on

# Not the temperature: `do_sample=True` without one means 1.
DEFAULTS = {
    option.name: option.default for option in OPTIONS if option.default is not None and option.name != "temperature"
}
SPECIAL_TOKENS = tuple(option.name for option in OPTIONS if option.name.endswith("_token_id"))
PARALLEL_RULES = tuple(option.name for option in OPTIONS if option.is_parallel_rule)
# For the engine: what a recorded step depends on, and with what a block can be complete before its schedule ends.
RECORDED_OPTIONS = tuple(option.name for option in OPTIONS if option.is_recorded)
EARLY_OPTIONS = tuple(option for option in OPTIONS if option.is_parallel_rule or option.finishes_early)


__all__ = ["OPTIONS", "Option"]
