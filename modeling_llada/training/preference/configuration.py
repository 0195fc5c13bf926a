# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Arguments of preference optimisation on evidence bounds."""

from dataclasses import dataclass, field
from numbers import Integral

from trl import DPOConfig

from ..trl_arguments import check_json, fit_machine


# The losses of TRL that are functions of the bounds of the two responses. Together with "sft" these are all.
LOSSES = ("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired")
LOSSES += ("apo_zero", "apo_down", "discopop", "sigmoid_norm")

# Arguments of DPOConfig that must be left out, and why.
REFUSED = {
    "precompute_ref_log_probs": "the noise of a pair is another one in each epoch, and the score of the reference with it",
    "ld_alpha": "it weighs log-probabilities of single tokens, and a bound has only their sum",
    "use_weighting": "it needs probabilities of next tokens, which the model does not have",
    "padding_free": "the collator pads the rows of a batch",
    "use_liger_kernel": "it would replace the loss by that of next tokens",
    "label_smoothing_factor": "the loss is a function of bounds; `label_smoothing` is that of the losses",
    "router_aux_loss_coef": "the experts keep their balance, which was learned before",
    "pad_token": "set the pad token of the tokenizer",
}


@dataclass
class LLaDAVRPOConfig(DPOConfig):
    """
    Arguments of [`LLaDAVRPOTrainer`]: those of [`~trl.DPOConfig`], and the following. `beta` and `learning_rate` are by default
    those of DARE's public reimplementation of VRPO (0.2 and 5e-7, for all weights of an 8B model).

    Args:
        num_noise_samples (`int`, *optional*, defaults to 8):
            Noise samples for each response. A step has so many times as many rows as an autoregressive DPO.
        shared_noise (`bool`, *optional*, defaults to `True`):
            Whether the reference sees the same noise as the policy, so that their errors cancel in the score. The paper calls this
            antithetic sampling.
        antithetic_masks (`bool`, *optional*, defaults to `True`):
            Whether the noise samples of a response are coupled, as `antithetic` does in
            [`~LLaDAForMaskedLM.log_likelihood`]. It needs an even `num_noise_samples`.
        loss_type (`list[str]`, *optional*, defaults to `["sigmoid"]`):
            The losses of [`~trl.DPOConfig`], with evidence bounds in the place of log-likelihoods. `"sft"` is the loss of
            [`LLaDASFTTrainer`] with `loss_normalization="sequence"` on the chosen responses, on the same noise: each bound is
            divided by the length of its response. `loss_type=["sigmoid", "sft"]` and `loss_weights=[1.0, 0.05]` keep the chosen
            responses probable.
        eos_fill (`int` or `str`, *optional*):
            Extends responses with EOS tokens, which are attended to, masked and scored, as the checkpoint was trained.
            `"longest"`: up to the longer response of the pair. A number: until prompt and response together have that many tokens.
            By default one EOS ends a response.
        loss_chunk_size (`int`, *optional*, defaults to 1024):
            Masked tokens whose logits are in memory at a time.
        block_length (`int`, *optional*):
            For a model of blocks, such as LLaDA2: the length of blocks. By default that of its `generation_config`.
        eval_seed (`int`, *optional*, defaults to 0):
            Fixes the noise in evaluation.
        bf16 (`bool`, *optional*):
            Whether to train in bfloat16 autocast. By default if the GPU supports it; float32 on a CPU.

    Raises:
        `ValueError`: for a value that an argument cannot have, and for arguments of [`~trl.DPOConfig`] that would not do what they
            say.

    Example:

    ```python
    >>> from modeling_llada.training import LLaDAVRPOConfig

    >>> args = LLaDAVRPOConfig("runs/vrpo", num_noise_samples=4, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.05])
    ```
    """

    num_noise_samples: int = field(default=8, metadata={"help": "Noise samples for each response."})
    shared_noise: bool = field(default=True, metadata={"help": "The reference sees the same noise as the policy."})
    antithetic_masks: bool = field(default=True, metadata={"help": "Couple the noise samples of a response."})
    eos_fill: int | str | None = field(
        default=None,
        metadata={
            "help": "Lengthen responses with EOS up to the `longest` of the pair, or to so many tokens of the row."
        },
    )
    loss_chunk_size: int = field(default=1024, metadata={"help": "Masked tokens whose logits exist at a time."})
    block_length: int | None = field(
        default=None, metadata={"help": "Length of the blocks of a LLaDA2. Left out: that of generation."}
    )
    eval_seed: int = field(default=0, metadata={"help": "Fixes the noise in evaluation."})

    # Defaults that differ from those of DPOConfig.
    beta: float = field(default=0.2, metadata={"help": "How much a score of 1 nat counts; higher stays closer."})
    learning_rate: float = field(default=5e-7, metadata={"help": "The initial learning rate of AdamW."})
    bf16: bool | None = field(default=None, metadata={"help": "bfloat16 autocast. Left out: where the GPU has it."})

    def __post_init__(self):
        if self.truncation_mode != "keep_start":
            raise ValueError(
                f'`truncation_mode` must be "keep_start", but got {self.truncation_mode!r}. Leave it out.'
            )
        check_json(self)
        fit_machine(self)
        super().__post_init__()
        # The command line passes the value as a string.
        if isinstance(self.eos_fill, str) and self.eos_fill.isdecimal():
            self.eos_fill = int(self.eos_fill)
        self._check_numbers()
        self._check_losses()
        for name, reason in REFUSED.items():
            if getattr(self, name) not in (None, False, 0):
                raise ValueError(f"`{name}={getattr(self, name)!r}` is not supported: {reason}. Leave it out.")
        if not self.disable_dropout:
            raise ValueError(
                "`disable_dropout` must be true: the policy and the reference would drop different activations, which the score "
                "counts as a difference between them. Leave it out."
            )

    def _check_numbers(self):
        for name in ("num_noise_samples", "loss_chunk_size", "eval_seed", "block_length", "max_length"):
            value, lowest = getattr(self, name), 0 if name == "eval_seed" else 1
            if value is None and name in ("block_length", "max_length"):
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < lowest:
                raise ValueError(f"`{name}` must be an integer of at least {lowest}, but got {value!r}.")
        if self.antithetic_masks and self.num_noise_samples % 2:
            raise ValueError(
                "`num_noise_samples` must be even with `antithetic_masks=True`, which pairs the samples, but got "
                f"{self.num_noise_samples}. Choose an even number, or set `antithetic_masks` to false."
            )
        fill = self.eos_fill
        if fill not in (None, "longest") and (isinstance(fill, bool) or not isinstance(fill, Integral) or fill < 1):
            raise ValueError(f'`eos_fill` must be `None`, "longest" or a positive number, but got {fill!r}.')
        if isinstance(fill, int) and self.max_length is not None and self.max_length > fill:
            raise ValueError(
                f"`eos_fill` must be at least `max_length`, {self.max_length}, so that it is one length for all rows, but "
                f"got {fill}. Lower `max_length`, or raise `eos_fill`."
            )
        if not self.beta > 0:
            raise ValueError(f"`beta` must be positive, but got {self.beta}.")

    def _check_losses(self):
        unknown = [name for name in self.loss_type if name not in (*LOSSES, "sft")]
        if unknown or not self.loss_type:
            raise ValueError(f"`loss_type` must be some of {', '.join(LOSSES)}, sft, but got {self.loss_type}.")
        if "exo_pair" in self.loss_type and not 0 < self.label_smoothing < 1:
            raise ValueError(
                f"`label_smoothing` must be in (0, 1) for the loss exo_pair, but got {self.label_smoothing}. 1e-3 is usual."
            )
        if "robust" in self.loss_type and not 0 <= self.label_smoothing < 0.5:
            raise ValueError(
                f"`label_smoothing` must be in [0, 0.5) for the loss robust, but got {self.label_smoothing}."
            )
