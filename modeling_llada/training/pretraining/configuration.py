# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Arguments of masked diffusion pre-training."""

from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments

from ..expert_bias import check_update_rate
from ..masking.arguments import NoiseArguments


@dataclass
class LLaDAPretrainingConfig(NoiseArguments, TrainingArguments):
    """
    Arguments of [`LLaDAPretrainer`]: those of [`TrainingArguments`], with the defaults of the paper where it names them
    (AdamW with weight decay 0.1, warmup-stable-decay), those of the noise in [`NoiseArguments`], and the following.

    Args:
        tokens_per_step (`int`, *optional*, defaults to 98304):
            Tokens of the global batch of an optimizer step, over all processes and accumulated micro-batches. It replaces
            `per_device_train_batch_size`, because rows of different kinds have different lengths.
        num_train_epochs (`float`, *optional*, defaults to 0):
            How often the training rows are trained on, in the place of `max_steps`. It needs a folder of shards or a
            dataset of rows, which are then drawn without replacement.
        row_length (`int`, *optional*, defaults to 1024):
            Tokens of a row from a folder of shards or an `IterableDataset`. Other datasets have rows already.
        row_kind (`str`, *optional*, defaults to `"windows"`):
            Those rows: `"windows"` of the documents one after the other, as LLaDA was pre-trained; or `"documents"`, in
            which no row has two documents, and EOS fills the last row of a document.
        separate_documents (`bool`, *optional*, defaults to `False`):
            Whether documents that share a row do not see each other. A document begins with BOS. It needs sdpa attention,
            with a mask, which is slower than attention over whole rows.
        eval_rows (`int`, *optional*, defaults to 1024):
            The most rows of `eval_dataset` if it is a folder of shards.
        random_length_ratio (`float`, *optional*, defaults to 0.01):
            Share of the steps on `windows` rows whose rows are cut to lengths uniform in 1 .. width, as in the paper.
        decay_ratio (`float`, *optional*, defaults to 0.3):
            Part of `max_steps` over which the learning rate decays, with the `warmup_stable_decay` schedule.
        causal_annealing_ratio (`float`, *optional*, defaults to 0.0):
            Part of `max_steps` over which attention goes from causal to full, for a model that was converted from an
            autoregressive one. It needs sdpa attention.
        expert_bias_update_rate (`float`, *optional*, defaults to 1e-3):
            How far the bias of each expert of a LLaDA2 moves in a step, against its load; see [`ExpertBiasCallback`].
        max_minutes (`float`, *optional*):
            Time limit of one call of `train`, counted from the creation of the trainer. Training then stops with a
            checkpoint to resume from. `max_steps` remains the length of the whole run and its schedule.
        compile_loss (`bool`, *optional*):
            Whether to compile forward pass and loss, once for each shape. By default on CUDA.
        eval_num_samples (`int`, *optional*, defaults to 16):
            Noise samples for each row in evaluation.
        eval_seed (`int`, *optional*, defaults to 0):
            Fixes that noise.

    Example:

    ```python
    >>> from modeling_llada.training import LLaDAPretrainingConfig

    >>> args = LLaDAPretrainingConfig("runs/poet", max_steps=1000, tokens_per_step=8192)
    ```
    """

    tokens_per_step: int = field(default=98_304, metadata={"help": "Tokens of the global batch of a step."})
    row_length: int = field(default=1024, metadata={"help": "Tokens of a row from shards or a stream."})
    row_kind: str = field(default="windows", metadata={"help": "Rows from shards or a stream: windows or documents."})
    separate_documents: bool = field(default=False, metadata={"help": "Documents of a row do not see each other."})
    eval_rows: int = field(default=1024, metadata={"help": "The most rows of an evaluation on shards."})
    random_length_ratio: float = field(default=0.01, metadata={"help": "Share of window steps with cut rows."})
    decay_ratio: float = field(default=0.3, metadata={"help": "Part of the steps with a decaying learning rate."})
    causal_annealing_ratio: float = field(
        default=0.0, metadata={"help": "Part of the steps over which attention goes from causal to full."}
    )
    expert_bias_update_rate: float = field(
        default=1e-3, metadata={"help": "How far the bias of each expert of a LLaDA2 moves in a step."}
    )
    max_minutes: float | None = field(default=None, metadata={"help": "Time limit of one call of `train`."})
    compile_loss: bool | None = field(default=None, metadata={"help": "Compile forward pass and loss."})
    eval_num_samples: int = field(default=16, metadata={"help": "Noise samples for each row in evaluation."})
    eval_seed: int = field(default=0, metadata={"help": "Fixes the noise in evaluation."})

    # Defaults that differ from those of TrainingArguments.
    num_train_epochs: float = field(default=0.0, metadata={"help": "Epochs, in the place of `max_steps`."})
    learning_rate: float = field(default=4e-4, metadata={"help": "The peak learning rate."})
    weight_decay: float = field(default=0.1, metadata={"help": "Weight decay for AdamW."})
    adam_beta2: float = field(default=0.98, metadata={"help": "Beta2 for AdamW."})
    optim: str = field(default="adamw_torch_fused", metadata={"help": "The optimizer to use."})
    lr_scheduler_type: str = field(default="warmup_stable_decay", metadata={"help": "The schedule."})
    warmup_steps: float = field(default=300, metadata={"help": "Linear warmup over this many steps."})
    bf16: bool | None = field(default=None, metadata={"help": "bfloat16 autocast. Left out: where CUDA supports it."})
    logging_steps: float = field(default=100, metadata={"help": "Log every this many steps."})
    # The filter would make every step wait for the device.
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Filter nan and inf losses for logging."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep."})
    report_to: None | str | list[str] = field(default="none", metadata={"help": "Reporting integrations."})
    ddp_find_unused_parameters: bool | None = field(
        default=False, metadata={"help": "All weights are used in each step."}
    )
    # Batches are functions of the step: there are none to skip.
    ignore_data_skip: bool = field(default=True, metadata={"help": "Do not replay data when resuming."})

    def __post_init__(self):
        on_cuda = torch.cuda.is_available() and not self.use_cpu
        self.bf16 = (on_cuda and torch.cuda.is_bf16_supported() and not self.fp16) if self.bf16 is None else self.bf16
        self.compile_loss = on_cuda if self.compile_loss is None else self.compile_loss
        if self.lr_scheduler_type == "warmup_stable_decay" and self.lr_scheduler_kwargs is None:
            self.lr_scheduler_kwargs = {"decay_type": "linear", "min_lr_ratio": 0.01}
        super().__post_init__()
        self._validate()

    def _validate(self):
        if (self.max_steps > 0) == (self.num_train_epochs > 0):
            raise ValueError(
                "One of `max_steps` and `num_train_epochs` must be positive, and no more than one, but got "
                f"{self.max_steps} and {self.num_train_epochs}."
            )
        if self.row_kind not in ("windows", "documents"):
            raise ValueError(
                f"`row_kind` must be windows or documents, but got {self.row_kind!r}. For other kinds give `train_dataset` as "
                "`ShardRows` with `phases`."
            )
        if not isinstance(self.row_length, int) or self.row_length < 2:
            raise ValueError(f"`row_length` must be an integer of at least 2, but got {self.row_length}.")
        self.check_noise()
        for name in ("random_length_ratio", "decay_ratio", "causal_annealing_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be in [0, 1], but got {getattr(self, name)}.")
        check_update_rate(self.expert_bias_update_rate)
        positive = ("tokens_per_step", "eval_num_samples", "eval_rows")
        for name in (*positive, "per_device_eval_batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be a positive integer, but got {getattr(self, name)}.")
        if not self.ignore_data_skip:
            raise ValueError(
                "`ignore_data_skip=False` has no meaning here: batches are functions of the step. Leave it out."
            )
