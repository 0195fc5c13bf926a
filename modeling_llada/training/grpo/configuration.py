# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Arguments of policy gradients on rewards."""

from dataclasses import dataclass, field
from numbers import Integral

from trl import GRPOConfig

from ...models.generation_config_llada import PARALLEL_RULES, LLaDAGenerationConfig
from ..trl_arguments import check_json, fit_machine
from .noise import LIKELIHOODS


# Arguments of GRPOConfig that must be left out, and why.
REFUSED = {
    "use_vllm": "vLLM does not know the models",
    "use_transformers_continuous_batching": "an answer is not written token by token",
    "use_transformers_paged": "an answer is not written token by token",
    "off_policy_mask_threshold": "it compares log-probabilities of next tokens",
    "cast_lm_head_to_fp32": "losses are in float32 anyway",
    "use_liger_kernel": "it would replace the loss by that of next tokens",
    "router_aux_loss_coef": "the experts keep their balance, which was learned before",
    "entropy_coef": "the entropy is a mean over the masked tokens of a row, and only logged",
    "use_adaptive_entropy": "the entropy is a mean over the masked tokens of a row, and only logged",
    "mask_truncated_completions": "the canvas of an answer is always whole",
    "pad_to_multiple_of": "the canvas has one length",
    "label_smoothing_factor": "the loss is a function of rewards",
    "cache_implementation": "`generation_kwargs` has the `block_cache` of our decoder",
}
# Options of `generate` that `generation_kwargs` must leave out, and why.
REFUSED_OPTIONS = {
    "max_new_tokens": "set `max_completion_length`",
    "num_return_sequences": "set `num_generations`",
    "do_sample": "answers that are not sampled are all equal",
    "stop_strings": "an answer ends with EOS",
    "draft_steps": "it guesses the next steps, which are random",
    **dict.fromkeys(("temperature", "top_k", "top_p", "min_p"), "it is an argument of its own"),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id", "mask_token_id"), "it is that of the tokenizer"),
    **dict.fromkeys(("return_dict_in_generate", "output_trajectory"), "the trainer sets it"),
}
LOSSES = ("grpo", "sapo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "vespo")
# What follows from the estimate: the level of ratios, and the clip.
DEFAULTS = {"elbo": ("sequence", 0.2), "one_step": ("token", 0.5), "coupled": ("token", 0.5), "trace": ("token", 0.2)}


@dataclass
class LLaDAGRPOConfig(GRPOConfig):
    """
    Arguments of [`LLaDAGRPOTrainer`]: those of [`~trl.GRPOConfig`], and the following.

    Args:
        likelihood (`str`, *optional*, defaults to `"elbo"`):
            What takes the place of the log-likelihood of an answer. `"elbo"`: its evidence bound, for ratios of sequences (ESPO).
            `"one_step"`: each token given nothing of the answer, for ratios of tokens (d1). `"coupled"`: each token given a random
            part of the answer, for ratios of tokens (DiffuCoder, without its weights). `"trace"`: the order in which the answer was
            written is replayed, for ratios of tokens (TraceRL).
        num_noise_samples (`int`, *optional*, defaults to 2):
            Noise samples in a score, with one forward pass each; an even number for `"elbo"` and `"coupled"`. For `"trace"` the
            number of groups of steps that are scored together.
        importance_sampling_level (`str`, *optional*):
            The level of ratios. By default that of the `likelihood`.
        epsilon (`float`, *optional*):
            The clip of ratios. By default that of the published runs: 0.2 for `"elbo"` and `"trace"`, 0.5 for the others.
        loss_type (`str`, *optional*, defaults to `"grpo"`):
            As in [`~trl.GRPOConfig`]. For `"elbo"` `"grpo"` or `"sapo"`: others weigh an answer by its length.
        scale_rewards (`str` or `bool`, *optional*, defaults to `"none"`):
            As in [`~trl.GRPOConfig`]; the published runs do not divide by the deviation of the group.
        beta (`float`, *optional*, defaults to 0.0):
            The weight of the divergence from the reference: the model without a new adapter, or with a copy of one that was trained
            before. For `"elbo"` it is half the squared difference of the bounds divided by the length of the canvas, for the others
            TRL's.
        generation_kwargs (`dict` or `str`):
            How answers are written: `{"steps": 64, "block_length": 32}`, or a parallel rule such as
            `{"confidence_threshold": 0.9}`. Without one of these each token would take a forward pass, so it must be said. With
            `"disable_compile": False` beside it, the steps of a model on CUDA without an adapter are recorded and replayed.
        loss_chunk_size (`int`, *optional*, defaults to 1024):
            Masked tokens whose logits are in memory at a time.
        bf16 (`bool`, *optional*):
            Whether to train in bfloat16 autocast. By default if the GPU supports it; float32 on a CPU.

    Raises:
        `ValueError`: for a value that an argument cannot have, and for arguments of [`~trl.GRPOConfig`] that would not do what they
            say.

    Example:

    ```python
    >>> from modeling_llada.training import LLaDAGRPOConfig

    >>> args = LLaDAGRPOConfig("runs/grpo", max_completion_length=256, generation_kwargs={"confidence_threshold": 0.9})
    ```
    """

    likelihood: str = field(
        default="elbo", metadata={"help": "What takes the place of the log-likelihood.", "choices": [*LIKELIHOODS]}
    )
    num_noise_samples: int = field(default=2, metadata={"help": "Noise samples in a score."})
    loss_chunk_size: int = field(default=1024, metadata={"help": "Masked tokens whose logits exist at a time."})

    # Defaults that differ from those of GRPOConfig.
    importance_sampling_level: str | None = field(
        default=None, metadata={"help": "sequence or token. Left out: that of the likelihood."}
    )
    epsilon: float | None = field(default=None, metadata={"help": "The clip. Left out: that of the likelihood."})
    loss_type: str = field(default="grpo", metadata={"help": "How the losses of tokens are added up."})
    scale_rewards: str = field(default="none", metadata={"help": "Divide advantages by a deviation, or not."})
    disable_dropout: bool = field(default=True, metadata={"help": "Ratios compare equal networks."})
    bf16: bool | None = field(default=None, metadata={"help": "bfloat16 autocast. Left out: where the GPU has it."})

    def __post_init__(self):
        check_json(self)
        fit_machine(self)
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"`likelihood` must be one of {', '.join(LIKELIHOODS)}, but got {self.likelihood!r}.")
        if self.pad_to_multiple_of == "auto":
            self.pad_to_multiple_of = None
        for name, reason in REFUSED.items():
            if getattr(self, name, None) not in (None, False, 0):
                raise ValueError(f"`{name}={getattr(self, name)!r}` is not supported: {reason}. Leave it out.")
        level, epsilon = DEFAULTS[self.likelihood]
        self.importance_sampling_level = self.importance_sampling_level or level
        self.epsilon = epsilon if self.epsilon is None else self.epsilon
        super().__post_init__()
        self._check_noise()
        self._check_loss()
        self._check_generation()

    def _check_noise(self):
        for name in ("num_noise_samples", "loss_chunk_size", "max_completion_length"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise ValueError(f"`{name}` must be an integer of at least 1, but got {value!r}.")
        if self.likelihood in ("elbo", "coupled") and self.num_noise_samples % 2:
            raise ValueError(
                f'`num_noise_samples` must be even with `likelihood="{self.likelihood}"`, which pairs the samples, but got '
                f"{self.num_noise_samples}."
            )
        if self.top_entropy_quantile < 1:
            raise ValueError(
                f"`top_entropy_quantile` must be 1.0, but got {self.top_entropy_quantile}: entropies of next tokens do not exist."
            )

    def _check_loss(self):
        if not self.beta >= 0:
            raise ValueError(f"`beta` must not be negative, but got {self.beta}.")
        if self.importance_sampling_level not in ("sequence", "token"):
            raise ValueError(
                f'`importance_sampling_level` must be "sequence" or "token", but got {self.importance_sampling_level!r}.'
            )
        if self.loss_type not in LOSSES:
            raise ValueError(f"`loss_type` must be one of {', '.join(LOSSES)}, but got {self.loss_type!r}.")
        if self.likelihood != "elbo":
            return
        if self.importance_sampling_level != "sequence":
            raise ValueError(
                '`importance_sampling_level` must be "sequence" with `likelihood="elbo"`, whose tokens have weights up to the length '
                f"of the canvas, but got {self.importance_sampling_level!r}. Choose another likelihood for ratios of tokens."
            )
        if self.loss_type not in ("grpo", "sapo"):
            raise ValueError(
                f'`loss_type` must be "grpo" or "sapo" with `likelihood="elbo"`, but got {self.loss_type!r}, which weighs an answer '
                "by its length."
            )

    def _check_generation(self):
        options = self.generation_kwargs if isinstance(self.generation_kwargs, dict) else {}
        rules = ("steps", *PARALLEL_RULES)
        if not any(options.get(name) is not None for name in rules):
            raise ValueError(
                f"`generation_kwargs` must say how answers are written, by one of {', '.join(rules)}, but got "
                f'{self.generation_kwargs}. {{"steps": {self.max_completion_length}}} writes one token in each forward pass.'
            )
        unknown = sorted(set(options) - set(vars(LLaDAGenerationConfig())))
        if unknown:
            raise ValueError(f"`generation_kwargs` must be options of `generate`, but got {', '.join(unknown)}.")
        for name in sorted(set(options) & set(REFUSED_OPTIONS)):
            raise ValueError(f"`generation_kwargs` must not have `{name}`: {REFUSED_OPTIONS[name]}. Leave it out.")
        if not self.temperature > 0:
            raise ValueError(
                f"`temperature` must be above 0, but got {self.temperature}: answers that are not sampled are all equal."
            )
        if self.repetition_penalty != 1.0:
            raise ValueError(
                f"`repetition_penalty` must be 1.0, but got {self.repetition_penalty}: it takes an answer for a text that is "
                "written from left to right. Leave it out."
            )
        limits = {name: getattr(self, name) for name in ("temperature", "top_k", "top_p", "min_p")}
        LLaDAGenerationConfig(max_new_tokens=self.max_completion_length, **limits, **options)
