# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Random valid calls of `generate`, for hypothesis. The options come from the table of options, so a new one takes part."""

from dataclasses import dataclass, field, replace
from functools import cache

import torch
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import GenerationConfig, PreTrainedTokenizerFast, TopKLogitsWarper

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.models.blocks_llada import BlockGeometry
from modeling_llada.models.options_llada import EXCLUSIONS, OPTIONS, PARALLEL_RULES


MASK, EOS, EOT, PAD, BOS, VOCAB_SIZE = 23, 22, 21, 20, 19, 24
TABLE = {option.name: option for option in OPTIONS}
REFINED = {option.name: option.refines for option in OPTIONS if option.refines}
NO_EDITS = dict.fromkeys(
    ["reopen_threshold", "edit_threshold", *(name for name, refined in REFINED.items() if refined == "edit_threshold")]
)
TOP = 14  # more than the EOS tokens and `suppress_tokens` of a call, and the mask token
SELDOM = {"draft_steps"}  # it excludes all random options


def good_values(option):
    """Values that an option accepts."""
    if option.kind == "int":
        return st.integers(option.minimum, option.minimum + 12)
    if option.kind == "float":
        return st.floats(option.minimum, 4 if option.maximum is None else option.maximum)
    return st.booleans() if option.kind == "bool" else st.sampled_from(option.choices)


def bad_values(option):
    """Values that an option must refuse."""
    wrong_type = [float("nan"), float("inf"), True, "1", [1.0], {}]
    if option.kind == "int":
        outside = st.integers(max_value=option.minimum - 1)
        return outside | st.sampled_from([option.minimum + 0.5, *wrong_type])
    if option.kind == "float":
        outside = st.floats(max_value=option.minimum - 0.01)
        outside |= st.nothing() if option.maximum is None else st.floats(min_value=option.maximum + 0.01)
        return outside | st.sampled_from([10**400, *wrong_type])
    if option.kind in ("token", "tokens"):
        return st.sampled_from([-1, 2**63, MASK if option.name == "eos_token_id" else 1.5, "</s>", {}, [1, -1]])
    return st.sampled_from(["", "yes", 2, -1.5, [""], {}])


VALUES = {
    option.name: good_values(option) for option in OPTIONS if option.kind in ("int", "float", "bool", "choice")
} | {
    "max_new_tokens": st.integers(0, 12),
    "steps": st.integers(1, 6),
    "block_length": st.integers(1, 6),
    "temperature": st.sampled_from([0.0, 0.5, 1.0, 5.0]),
    "cfg_scale": st.sampled_from([0.0, 0.5, 2.0]),
    "draft_steps": st.integers(2, 5),
    "num_return_sequences": st.integers(1, 2),
    "eos_token_id": st.integers(0, MASK - 1) | st.lists(st.integers(0, MASK - 1), min_size=1, max_size=8),
    "suppress_tokens": st.lists(st.integers(0, MASK - 1), min_size=1, max_size=4),
    "eot_token_id": st.integers(0, MASK - 1),
    "pad_token_id": st.integers(0, MASK - 1),
}
BAD_VALUES = {option.name: bad_values(option) for option in OPTIONS if option.kind != "CompileConfig"} | {
    "stop_strings": st.sampled_from(["", [""], 5, [5], {}]),
    "max_new_tokens": bad_values(TABLE["max_new_tokens"]) | st.integers(33, 10**30),
    "attention_mask": st.sampled_from([torch.ones(9, 9), torch.zeros(1, 1), [[1]]]),
    "generation_config": st.sampled_from(
        [{"steps": 2}, GenerationConfig(num_beams=4), GenerationConfig(typical_p=0.5)]
    ),
    "generator": st.sampled_from([42, "seed", [], [1]]),
    "logits_processor": st.sampled_from([5, ["top_k"]]),
    "stopping_criteria": st.sampled_from([5, ["stop"]]),
    "streamer": st.sampled_from([5, "stdout"]),
    # Not options: other decoders and other code have them, or they are typing errors.
    "num_beams": st.integers(2, 8),
    "max_length": st.integers(1, 100),
    "use_cache": st.just(True),
    "gen_length": st.integers(1, 128),
    "stepz": st.integers(1, 128),
}
# These have values of their own above, or follow from others.
FIXED = {"max_new_tokens", "do_sample", "return_dict_in_generate", "output_trajectory"}
NAMES = sorted(VALUES.keys() - FIXED - {"insert_delete"})  # which needs a model with its tokens


class CommitAboveMedian:
    """A remasking of the user's own, by its row alone."""

    def __call__(self, confidence, mask, budget):
        ranks = confidence.masked_fill(~mask, -torch.inf).argsort(-1, descending=True).argsort(-1)
        return mask & (ranks <= mask.sum(-1, keepdim=True) // 2)


class NotTheSum:
    """A logits processor that depends on the canvas of the row, but not on its padding: it rules out one token."""

    def __call__(self, input_ids, scores):
        is_counted = (input_ids != MASK) & (input_ids != PAD)
        ruled_out = (input_ids * is_counted).sum(-1, keepdim=True) % VOCAB_SIZE
        return scores.scatter(1, ruled_out, -torch.inf)


@dataclass(frozen=True)
class StopAtCount:
    """A stopping criterion by its row alone: the answer holds at least some tokens below a limit."""

    answer_length: int
    count: int

    def __call__(self, input_ids, scores):
        answer = input_ids[:, input_ids.shape[1] - self.answer_length :]
        return (answer < VOCAB_SIZE // 2).sum(-1) >= self.count


@dataclass(frozen=True)
class Call:
    """A valid call of `generate` on a tiny random model."""

    model_seed: int
    prompts: tuple[tuple[int, ...], ...]  # without padding
    options: dict = field(default_factory=dict)
    geometry: BlockGeometry = field(default_factory=BlockGeometry)

    @property
    def model(self) -> LLaDAForMaskedLM:
        return tiny_model(self.model_seed, self.geometry)

    @property
    def repeats(self) -> int:
        return self.options.get("num_return_sequences", 1)

    @property
    def max_new_tokens(self) -> int:
        return self.options["max_new_tokens"]

    def inputs(self) -> dict[str, torch.LongTensor]:
        """The prompts with padding on the left, and their attention mask."""
        length = max(map(len, self.prompts))
        rows = [[PAD] * (length - len(prompt)) + list(prompt) for prompt in self.prompts]
        attended = [[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in self.prompts]
        return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(attended)}

    def with_options(self, **options) -> "Call":
        return replace(self, options=self.options | options)

    def with_geometry(self, geometry: BlockGeometry) -> "Call":
        """The same call of a model that is denoised in another geometry."""
        options = dict(self.options)
        if not geometry.sees_suffix:
            options.pop("suffix_window", None)
        if geometry.is_block_causal:
            options.pop("cache_refresh_interval", None)
            options.pop("reopen_threshold", None)
            options.setdefault("block_length", 4)
        return replace(self, options=options, geometry=geometry)

    def rows(self) -> list["Call"]:
        """A call for each row of the output."""
        alone = self.with_options(num_return_sequences=1)
        return [replace(alone, prompts=(prompt,)) for prompt in self.prompts for _ in range(self.repeats)]

    def __call__(self, seeds=None):
        """Runs the call, each row of the output with a generator of its own."""
        seeds = range(len(self.prompts) * self.repeats) if seeds is None else seeds
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        options = self.options | {"return_dict_in_generate": True, "output_trajectory": True}
        return self.model.generate(**self.inputs(), generator=generators, **options)


@cache
def letters() -> PreTrainedTokenizerFast:
    """A tokenizer that writes each token as a letter."""
    tokenizer = Tokenizer(
        models.WordLevel({chr(ord("a") + token): token for token in range(VOCAB_SIZE)}, unk_token="a")
    )
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@cache
def tiny_model(seed: int, geometry: BlockGeometry | None = None) -> LLaDAForMaskedLM:
    """A tiny random model in float64, so that rows in a batch and alone agree to the last token."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"mask": MASK, "eos": EOS, "eot": EOT, "pad": PAD, "bos": BOS}
    ids = {f"{name}_token_id": token for name, token in tokens.items()}
    lengths = {"vocab_size": VOCAB_SIZE, "max_position_embeddings": 32}
    model = LLaDAForMaskedLM(LLaDAConfig(**sizes, **ids, **lengths, initializer_range=0.8)).eval().double()
    model.block_geometry = geometry or model.block_geometry
    return model


@st.composite
def options_of_a_call(draw):
    """Options that go together: what one refines is set, and what it excludes is not."""
    names = {name for name in NAMES if name not in PARALLEL_RULES and draw(st.booleans())}
    names -= set() if draw(st.integers(0, 3)) == 0 else SELDOM
    rule = draw(st.sampled_from([None, *PARALLEL_RULES]))
    names |= {rule} if rule else set()
    names -= {first for first, second, _ in EXCLUSIONS if {first, second} <= names}
    names = {name for name in names if name not in REFINED or REFINED[name] in names}
    if names & SELDOM:
        names -= {"temperature", "remasking"}
    options = {name: draw(VALUES[name]) for name in sorted(names)}
    options["max_new_tokens"] = draw(VALUES["max_new_tokens"])
    for option in OPTIONS:
        if option.name in options and option.below and options[option.name] >= options[option.below]:
            del options[option.name]
    if "remasking" in options and draw(st.booleans()):
        options["remasking"] = CommitAboveMedian()
    if draw(st.integers(0, 5)) == 0:
        options["logits_processor"] = draw(st.sampled_from([[TopKLogitsWarper(TOP)], [NotTheSum()]]))
    if draw(st.integers(0, 3)) == 0:
        options["stopping_criteria"] = [StopAtCount(options["max_new_tokens"], draw(st.integers(0, 4)))]
    if draw(st.integers(0, 5)) == 0:
        few = [chr(ord("a") + token) for token in range(VOCAB_SIZE)]
        strings = st.text(few, min_size=1, max_size=2)
        options |= {"stop_strings": draw(strings | st.lists(strings, min_size=1)), "tokenizer": letters()}
    return options


@st.composite
def calls(draw):
    """A valid call: prompts of several lengths with masks here and there, and random options."""
    token = st.integers(0, VOCAB_SIZE - 1)
    prompt = st.lists(token | st.just(MASK), min_size=1, max_size=6).map(tuple)
    prompts = draw(st.lists(prompt, min_size=1, max_size=3).map(tuple))
    return Call(draw(st.integers(0, 3)), prompts, draw(options_of_a_call()))


def check_rows_alone(call: Call) -> None:
    """Asserts that each row of a call gets alone the tokens, the steps and the forward passes that it gets in the batch."""
    together = call()
    for index, row in enumerate(call.rows()):
        alone = row(seeds=[index])
        length = alone.sequences.shape[1]
        assert torch.equal(together.sequences[index, -length:], alone.sequences[0])
        assert torch.equal(together.trajectory[0][index, -length:], alone.trajectory[0][0])
        assert together.num_forward_passes[index] == alone.num_forward_passes[0]
