# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The settings that are compared: a rule (what a step commits), a cache (what a step recomputes) and a block length."""

from dataclasses import dataclass, replace


ONE_TOKEN = "one token a step"
CACHES = (None, "prefix", "dual", "vicinity")
LINE = 6  # the length of a line of the poems, and the block length of most of their settings
EXTRA_TOKENS = (2, 6, 14, 46)  # of a canvas that is longer than the answer, which has 18 tokens


@dataclass(frozen=True)
class Rule:
    """A rule that decides which tokens a step commits."""

    family: str  # the kind of rule, which has one color in the plot
    label: str  # its row in the table
    options: dict  # of `generate`
    tokens_per_step: int = 1  # the quota of the schedule; 1 for a parallel rule, which commits more by itself
    base: str | None = None  # the label of the rule whose tokens it must reproduce


RULES = [
    Rule("fixed", ONE_TOKEN, {}),
    *(Rule("fixed", f"{number} tokens a step", {}, number) for number in (2, 4, 8)),
    *(
        Rule("other remasking", f"2 tokens a step, {name}", {"remasking": name}, 2)
        for name in ("margin", "entropy", "random")
    ),
    *(
        Rule("threshold", f"threshold {value}", {"confidence_threshold": value})
        for value in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    ),
    *(Rule("factor", f"factor {value}", {"confidence_factor": value}) for value in (0.25, 0.5, 1.0, 2.0)),
    *(Rule("entropy bound", f"entropy bound {value}", {"entropy_bound": value}) for value in (0.01, 0.1, 0.3, 0.6)),
    *(
        Rule("leap", f"threshold 0.9, leap {value}", {"confidence_threshold": 0.9, "leap_threshold": value})
        for value in (0.5, 0.75)
    ),
]
# Drafts are verified, so they change no tokens.
DRAFT_RULES = [
    Rule("drafts", "1 token, 4 drafts", {"draft_steps": 4}, base=ONE_TOKEN),
    Rule("drafts", "threshold 0.9, 4 drafts", {"confidence_threshold": 0.9, "draft_steps": 4}, base="threshold 0.9"),
]
# Further rules for docs/evidence.md: other remasking at other numbers of steps, guidance, and the EOS options.
REMASKING_RULES = [
    Rule("other remasking", f"{one_or_more}, {name}", {"remasking": name}, number)
    for number, one_or_more in ((1, ONE_TOKEN), (4, "4 tokens a step"))
    for name in ("margin", "entropy", "random")
]
GUIDANCE_RULES = [
    Rule("guidance", f"{ONE_TOKEN}, cfg {scale}", {"cfg_scale": scale}) for scale in (0.5, 1.0, 1.5, 2.0)
]
END_RULES = [
    Rule("end", f"{ONE_TOKEN}, {name}", {name: True}) for name in ("logits_eos_inf", "confidence_eos_eot_inf")
]
FEW_RULES = [
    rule for rule in RULES if rule.label in (ONE_TOKEN, "2 tokens a step", "4 tokens a step", "threshold 0.9")
]


@dataclass(frozen=True)
class Setting:
    """One decoder on one task."""

    task: str
    rule: Rule
    cache: str | None
    block_length: int | None  # `None` is one block
    weights: str | None = None  # the quantization of the projections; `None` for plain weights
    extra_tokens: int = 0  # of the canvas after the answer, which then has to end with an EOS

    @property
    def key(self) -> str:
        """Its name in the file of the results."""
        parts = [self.task, self.rule.label, self.cache or "no cache", f"block {self.block_length or 'one'}"]
        parts += [f"{self.extra_tokens} extra tokens"] if self.extra_tokens else []
        return " | ".join([*parts, self.weights] if self.weights else parts)

    @property
    def is_baseline(self) -> bool:
        """Whether other settings are compared with it: one token a step without a cache, on a canvas as long as the answer."""
        return self == self.baseline

    @property
    def baseline(self) -> "Setting":
        """The setting that this one is compared with: plain weights, or one token a step without a cache in the same blocks."""
        if self.weights:
            return replace(self, weights=None)
        return Setting(self.task, RULES[0], None, self.block_length)

    def options(self, num_masks: int) -> dict:
        """The options of `generate`."""
        options = {"block_length": self.block_length, "block_cache": self.cache, **self.rule.options}
        if self.rule.tokens_per_step > 1:
            options["steps"] = -(-num_masks // self.rule.tokens_per_step)
        return options


def settings_of(task: str) -> list[Setting]:
    """The settings of a task, its baseline first.

    With a single block `"prefix"` is the same as `"dual"`, and on short canvases `"vicinity"` recomputes everything, so the two
    short tasks have neither. The poems are decoded line by line, and a few settings have other blocks.
    """
    block_length = usual_block_length(task)
    drafts = [Setting(task, rule, cache, block_length) for cache in (None, "dual") for rule in DRAFT_RULES]
    if task != "poem":
        return [Setting(task, rule, cache, block_length) for cache in (None, "dual") for rule in RULES] + drafts
    by_line = [Setting(task, rule, cache, block_length) for cache in CACHES for rule in RULES]
    others = [
        Setting(task, rule, cache, block_length)
        for block_length in (LINE // 2, 2 * LINE, None)
        for cache in (None, "dual")
        for rule in FEW_RULES
    ]
    return by_line + others + drafts


def further_settings_of(task: str) -> list[Setting]:
    """Settings with their own tables in docs/evidence.md: remasking against steps, guidance, and, for poems, the length of
    the canvas and the EOS options."""
    block_length = usual_block_length(task)
    settings = [Setting(task, rule, None, block_length) for rule in REMASKING_RULES + GUIDANCE_RULES]
    if task != "poem":
        return settings
    ends = [
        Setting(task, rule, None, length, extra_tokens=extra)
        for length in (None, LINE)
        for extra in EXTRA_TOKENS
        for rule in (RULES[0], *(END_RULES if extra >= 2 * LINE else ()))
    ]
    return settings + ends


def quantized_settings_of(task: str, weights: str) -> list[Setting]:
    """The settings of a task with quantized weights: one token a step and threshold 0.9."""
    rules = [rule for rule in RULES if rule.label in (ONE_TOKEN, "threshold 0.9")]
    return [
        Setting(task, rule, cache, usual_block_length(task), weights) for cache in (None, "dual") for rule in rules
    ]


def usual_block_length(task: str) -> int | None:
    """The block length of most settings of a task. The poems are decoded line by line."""
    return LINE if task == "poem" else None
