# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Arguments of masked supervised fine-tuning."""

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

from trl import SFTConfig

from ...models.configuration_llada_v import PATCH_MERGE_TYPES
from ..expert_bias import check_update_rate
from ..masking.arguments import NoiseArguments
from ..masking.mask_sources import MASK_SOURCES
from ..trl_arguments import check_json, fit_machine


# The parts of a LLaDA-V that can be trained or frozen.
PARTS = ("vision_tower", "multi_modal_projector", "language_model")
ASPECT_RATIOS = ["auto", "anyres", "pad", "square"]
FORMATS = ["auto", "tokens", "messages", "sharegpt", "prompt-completion", "alpaca", "text"]


@dataclass
class LLaDASFTConfig(NoiseArguments, SFTConfig):
    """
    Arguments of [`LLaDASFTTrainer`]: those of [`~trl.SFTConfig`], those of the noise in [`NoiseArguments`], and the following.

    Args:
        dataset_format (`str`, *optional*, defaults to `"auto"`):
            What the columns hold: `"tokens"` (`input_ids`), `"messages"`, `"sharegpt"` (`conversations` with `from` and
            `value`), `"prompt-completion"`, `"alpaca"` (`instruction`, `input`, `output`) or `"text"`. By default the first
            of these whose columns are there, which is logged.
        loss_normalization (`str`, *optional*, defaults to `"token"`):
            How the sum of the weighted cross-entropies of the global batch is divided. `"token"`: by the tokens of its
            responses, masked or not, so that all tokens count the same. `"sequence"`: each row by the length of its
            response, then the sum by the number of rows, so that all rows count the same, as in the official guideline.
        mask_source (`str`, *optional*, defaults to `"uniform"`):
            Which tokens of a response are masked in training: `"uniform"`, each with the probability t; `"block"`, those of a
            random block of `block_length` so, and all behind it, which are not predicted, as when this block is generated; or
            `"trajectory"`, at least the share t that was committed last, by the column `commit_steps` of tokenized rows,
            which `examples/self_distill.py` writes. For few-step distillation, usually beside `confidence_weight` and
            `loss_weighting="none"`. Evaluation is always `"uniform"`.
        eos_fill (`int` or `str`, *optional*):
            Extends responses with EOS tokens, which are attended to, masked and trained on, as in the paper. `"longest"`: up
            to the longest row of the micro-batch; the loss then depends on the rows that share a micro-batch. A number:
            until prompt and response together have that many tokens. `"block"`, for models of blocks: up to the end of the
            last block, as `generate` completes it. By default one EOS ends a response, and padding is
            neither seen nor trained on. EOS tokens are easy to predict, so filling lowers the loss. Not with `packing`.
        packing (`bool`, *optional*, defaults to `False`):
            Puts several documents into each row of `max_length`, which saves most of the padding.
            `per_device_train_batch_size` counts packed rows. `packing_strategy` is one of:

            - `"bfd"`, the default: a document does not see the others of its row, and has its own mask rate and, for
              `loss_normalization="sequence"`, its own weight;
            - `"bfd_split"`: documents that are too long are split, and each piece becomes a document;
            - `"wrapped"`: the joined text is cut into rows of one document each, as in pre-training.

            Pieces without a token of a response are dropped.
        loss_chunk_size (`int`, *optional*, defaults to 1024):
            Masked tokens whose logits are in memory at a time.
        expert_bias_update_rate (`float`, *optional*, defaults to 1e-3):
            How far the bias of each expert of a LLaDA2 moves in a step, against its load; see [`ExpertBiasCallback`].
        eval_num_samples (`int`, *optional*, defaults to 4):
            Noise samples for each row in evaluation.
        eval_seed (`int`, *optional*, defaults to 0):
            Fixes the noise in evaluation.
        sample_every (`int`, *optional*):
            Number of steps after which a few prompts are completed. The texts are logged and appended to `samples.jsonl`
            in the output folder. By default never.
        sample_prompts (`list[str]`, *optional*):
            The prompts: messages of a user if the rows have messages, else texts. By default those of the first four rows
            of the first evaluation dataset with prompts.
        sample_kwargs (`dict` or `str`, *optional*):
            Arguments of `generate` for these prompts, as a dictionary or JSON, such as `{"max_new_tokens": 64}`.
        torch_compile (`bool`, *optional*, defaults to `False`):
            Compiles the layers, which share their graphs. With accelerate < 1.15 it compiles the whole model.
        trained_parts (`list[str]`, *optional*):
            The parts of a LLaDA-V that train, the others being frozen: `"vision_tower"`, `"multi_modal_projector"` and
            `"language_model"`, which includes `image_newline`, the embedding and the head. By default all; with an adapter
            the adapter alone, and the first two of these are trained in whole beside it where they are named.
        vision_tower_learning_rate (`float`, *optional*):
            The learning rate of the vision tower of a LLaDA-V, 2e-6 in the paper. By default `learning_rate`.
        projector_learning_rate (`float`, *optional*):
            The learning rate of the projector of a LLaDA-V. By default `learning_rate`.
        image_aspect_ratio (`str`, *optional*):
            How images become tiles: `"anyres"`, `"pad"`, `"square"`, or `"auto"` for any-resolution tiles of an image that is
            alone in its row and one padded tile for each of several. It becomes a setting of the processor, and by default is
            as there.
        patch_merge_type (`str`, *optional*):
            How the features of tiles are joined, `"spatial_unpad"` or `"flat"`, which becomes a field of the model's config.
            By default as in that config. Stage 1 of the paper is `"flat"`.
        image_folder (`str`, *optional*):
            Where relative paths of images begin. By default the working directory.
        plain_captions (`bool`, *optional*, defaults to `False`):
            Rows are images, their caption and a line break, without a chat template, as in stage 1 of the paper. The caption
            is the response of the row; the text of its prompt is left out.
        dialogue_mask (`bool`, *optional*, defaults to `False`):
            A turn of a dialogue does not see later turns. The paper prefers rows that are seen as a whole.
        reference_labels (`bool`, *optional*, defaults to `False`):
            The labels of the public LLaDA-V code: all answers with their headers, and of the rest of the dialogue BOS, the
            marks of headers and the ends of turns. No EOS ends a row, but all rows are filled by `eos_fill`.
        bf16 (`bool`, *optional*):
            Whether to train in bfloat16 autocast. By default if the GPU supports it; float32 on a CPU.

    Example:

    ```python
    >>> from modeling_llada.training import LLaDASFTConfig

    >>> args = LLaDASFTConfig("runs/sft", learning_rate=2e-5, max_length=512)
    ```
    """

    _VALID_DICT_FIELDS = [*SFTConfig._VALID_DICT_FIELDS, "sample_kwargs"]

    dataset_format: str = field(
        default="auto",
        metadata={"help": "What the columns hold. `auto`: found by their names, and said.", "choices": FORMATS},
    )
    loss_normalization: str = field(
        default="token",
        metadata={
            "help": "Divide the loss by the tokens of all responses, or each row by its own and by the rows.",
            "choices": ["token", "sequence"],
        },
    )
    mask_source: str = field(
        default="uniform",
        metadata={
            "help": "Mask a random canvas, one that comes while a random block is generated, or one of the run that wrote the row.",
            "choices": list(MASK_SOURCES),
        },
    )
    eos_fill: int | str | None = field(
        default=None,
        metadata={
            "help": "Lengthen responses with EOS up to the `longest` row, to whole blocks (`block`), or until each row has so "
            "many tokens."
        },
    )
    loss_chunk_size: int = field(default=1024, metadata={"help": "Masked tokens whose logits exist at a time."})
    expert_bias_update_rate: float = field(
        default=1e-3, metadata={"help": "How far the bias of each expert of a LLaDA2 moves in a step."}
    )
    eval_num_samples: int = field(default=4, metadata={"help": "Noise samples for each row in evaluation."})
    eval_seed: int = field(default=0, metadata={"help": "Fixes the noise in evaluation."})

    sample_every: int | None = field(default=None, metadata={"help": "Complete a few prompts every so many steps."})
    sample_prompts: list[str] | None = field(
        default=None, metadata={"help": "These prompts. Left out: those of the first evaluation rows."}
    )
    sample_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": 'Arguments of `generate` for these, as in {"max_new_tokens": 64}.'}
    )

    trained_parts: list[str] | None = field(
        default=None,
        metadata={"help": "Parts of a LLaDA-V that train. Left out: all, or the adapter.", "choices": PARTS},
    )
    vision_tower_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the vision tower. Left out: that of the rest."}
    )
    projector_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the projector. Left out: that of the rest."}
    )
    image_aspect_ratio: str | None = field(
        default=None,
        metadata={
            "help": "How images become tiles; `auto`: `anyres` for one image in a row, `pad` for several.",
            "choices": ASPECT_RATIOS,
        },
    )
    patch_merge_type: str | None = field(
        default=None,
        metadata={"help": "How features are joined. Left out: as the model has it.", "choices": PATCH_MERGE_TYPES},
    )
    image_folder: str | None = field(default=None, metadata={"help": "Where relative paths of images begin."})
    plain_captions: bool = field(
        default=False, metadata={"help": "Rows are images and captions without a template, as in stage 1."}
    )
    dialogue_mask: bool = field(default=False, metadata={"help": "A turn does not see the later turns of its row."})
    reference_labels: bool = field(
        default=False, metadata={"help": "Train on special tokens of prompts too, as the public LLaDA-V code does."}
    )

    # A default that differs from that of SFTConfig, which a machine without GPU refuses.
    bf16: bool | None = field(default=None, metadata={"help": "bfloat16 autocast. Left out: where the GPU has it."})

    def __post_init__(self):
        check_json(self)
        fit_machine(self)
        # TRL would warn that it gives up "keep_end", but rows are cut here.
        truncation_mode, self.truncation_mode = self.truncation_mode, "keep_start"
        super().__post_init__()
        self.truncation_mode = truncation_mode
        # The command line passes the value as a string.
        if isinstance(self.eos_fill, str) and self.eos_fill.isdecimal():
            self.eos_fill = int(self.eos_fill)
        self._validate()

    @property
    def packs_documents(self) -> bool:
        """Whether documents that do not see each other share rows."""
        return bool(self.packing or self.eval_packing) and self.packing_strategy != "wrapped"

    def _validate(self):
        self._check_kinds()
        if self.dataset_format not in FORMATS:
            raise ValueError(f"`dataset_format` must be one of {', '.join(FORMATS)}, but got {self.dataset_format!r}.")
        if self.loss_normalization not in ("token", "sequence"):
            raise ValueError(
                f'`loss_normalization` must be "token" or "sequence", but got {self.loss_normalization!r}.'
            )
        self.check_noise()
        self._check_mask_source()
        if self.max_length is not None and self.max_length < 2:
            raise ValueError(
                f"`max_length` must be `None` or at least 2, a token of a response and what it follows or its EOS, but got "
                f"{self.max_length}. `None` leaves rows as long as they are."
            )
        if self.truncation_mode not in ("keep_start", "keep_end"):
            raise ValueError(
                f'`truncation_mode` must be "keep_start" or "keep_end", but got {self.truncation_mode!r}.'
            )
        is_length = isinstance(self.eos_fill, int) and self.eos_fill > 0
        if self.eos_fill not in (None, "longest", "block") and not is_length:
            raise ValueError(
                f'`eos_fill` must be `None`, "longest", "block" or a positive number, but got {self.eos_fill!r}.'
            )
        if isinstance(self.eos_fill, int) and self.max_length is not None and self.max_length > self.eos_fill:
            raise ValueError(
                f"`eos_fill` must be at least `max_length`, {self.max_length}, so that it is one length for all rows, but "
                f"got {self.eos_fill}. Lower `max_length`, or raise `eos_fill`."
            )
        check_update_rate(self.expert_bias_update_rate)
        self._check_images()
        if self.sample_every is None and (self.sample_prompts or self.sample_kwargs):
            raise ValueError("`sample_prompts` and `sample_kwargs` need `sample_every`, the steps between samples.")
        for name in ("loss_chunk_size", "eval_num_samples", "sample_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be a positive integer, but got {getattr(self, name)}.")

    def _check_mask_source(self):
        source = self.mask_source
        if source not in MASK_SOURCES:
            raise ValueError(f"`mask_source` must be one of {', '.join(MASK_SOURCES)}, but got {source!r}.")
        if source == "block" and self.block_length is None:
            raise ValueError(
                '`mask_source="block"` needs `block_length`, the length of the blocks that `generate` fills, but got None. Set it, '
                "such as to 32."
            )
        if source == "trajectory" and self.complementary_masks:
            raise ValueError(
                '`complementary_masks` does not go with `mask_source="trajectory"`, because the other tokens of a canvas of the run '
                "are no canvas of it, but got True. Leave one of them out."
            )
        if source == "trajectory" and (self.packing or self.eval_packing):
            raise ValueError(
                '`packing` does not go with `mask_source="trajectory"`, whose steps are those of a row, but got True. Leave it out.'
            )

    def _check_images(self):
        for name, known in (("image_aspect_ratio", ASPECT_RATIOS), ("patch_merge_type", PATCH_MERGE_TYPES)):
            if getattr(self, name) not in (None, *known):
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, but got {getattr(self, name)!r}.")
        parts = self.trained_parts
        if parts is not None and (not isinstance(parts, list | tuple) or not parts or set(parts) - {*PARTS}):
            raise ValueError(f"`trained_parts` must be some of {', '.join(PARTS)}, but got {parts!r}.")
        for name in ("vision_tower_learning_rate", "projector_learning_rate"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise ValueError(f"`{name}` must be at least 0, but got {getattr(self, name)}.")
        if self.plain_captions and (self.dialogue_mask or self.assistant_only_loss):
            name = "dialogue_mask" if self.dialogue_mask else "assistant_only_loss"
            raise ValueError(f"`{name}=True` has no effect with `plain_captions=True`, which has no dialogues.")

    def _check_kinds(self):
        """Numbers must be numbers. Dataclasses do not check it."""
        for name in ("max_length", "loss_chunk_size", "eval_num_samples", "eval_seed", "sample_every"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise ValueError(f"`{name}` must be an integer, but got {value!r}.")
            setattr(self, name, int(value))  # of NumPy, which is not JSON
        for name in ("vision_tower_learning_rate", "projector_learning_rate"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
                raise ValueError(f"`{name}` must be a number, but got {value!r}.")
