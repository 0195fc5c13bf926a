# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Masked supervised fine-tuning on TRL.

The loss is eq. 5 of the paper (https://huggingface.co/papers/2502.09992). Only tokens of the response r_0 are masked, each
with the probability t of its row; the prompt p_0 stays as it is:

    L(theta) = -E_{t, p_0, r_0, r_t} [ 1/t  sum_i 1[r_t^i = M] log p_theta(r_0^i | p_0, r_t) ]

It is divided by the tokens of all responses of the global batch, or row by row (`loss_normalization`). A row without any
masked token, as short responses have at small t, adds zero but is counted, so that the loss is unbiased. A model of blocks is
trained by block diffusion: each noisy block is predicted behind the clean blocks before it (`objective.py`).

- The noise belongs to the row (`noise.py`, `row_order.py`): accumulation, processes and restarts do not change it.
- Documents that share a row do not see each other, and have their own rates and weights (`collator.py`).
- The model computes logits for the masked tokens only, in chunks (`masked_losses` in `diffusion_llada.py`).
- Evaluation uses fixed noise (`masked_metrics.py`).

TRL's private `_prepare_dataset` is overridden, because tokenization has no public hook. From Trainer, the private
`_get_num_items_in_batch` is overridden, because the loss is not divided by the number of labels, and the data loaders are
(`ordered_batches.py`), because rows need to know their place in the epoch.
"""

import copy
import time
from collections.abc import Iterator

import torch
from datasets import Dataset
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin, set_seed
from transformers.trainer_utils import EvalLoopOutput, PredictionOutput
from transformers.utils import is_accelerate_available
from trl import SFTTrainer

from ...models.diffusion_llada import diffusion_loss
from ..expert_bias import balance_by_bias
from ..masking.block_length import settle_block_length
from ..masking.collator import MaskingCollator
from ..masking.load_balancing import LoadBalancing, has_balancing_loss
from ..masking.masked_metrics import MaskedLossMeter
from ..masking.noise import RowNoise
from ..masking.row_order import NumberedRows, documents
from ..model_card import TrainingModelCard
from ..processes import check_processes
from ..resuming import CompleteCheckpoints
from ..sample_texts import SamplesCallback, sample_prompts
from .checks import (
    check_arguments,
    check_chat_template,
    check_model,
    check_rendering,
    check_tokenizer,
    check_tools,
    keep_gradients,
    with_default_targets,
)
from .configuration import LLaDASFTConfig
from .formats import IMAGE_LENGTHS, IMAGE_SIZES, USES_TOOLS, check_dataset, read_rows
from .given import like, load_model, load_processing_class, name_of, named, settle_trainer
from .objective import ResponseObjective, counted_tokens
from .ordered_batches import OrderedBatches
from .rows import check_rows, cut_rows, finish_rows, pack_rows, switch_off_turns, tokenized_rows
from .stages import (
    adapter_of_language,
    check_processor,
    check_stage,
    freeze_unused,
    num_input_ids,
    sees_images,
    set_learning_rates,
    set_stage,
    warn_of_suppressed_eos,
)
from .vision_formats import refuse_images
from .vision_inputs import VisionInputs
from .vision_rows import check_placeholders


class LLaDASFTTrainer(TrainingModelCard, CompleteCheckpoints, OrderedBatches, SFTTrainer):
    """
    Trainer for masked supervised fine-tuning. What is not described here is as in [`~trl.SFTTrainer`].

    A dataset has one of these forms:

    - `messages`, or ShareGPT's `conversations`: the last message is the response, or with `assistant_only_loss=True` all
      messages of the assistant are, unless their `weight` is 0;
    - `prompt` and `completion`, as texts or messages;
    - Alpaca's `instruction`, `input` and `output`;
    - `text`: every token is trained on.

    The first whose columns are there is read, or the one of `dataset_format`. Rows of a LLaDA-V may also have a column `image`
    or `images`, with pictures or paths, which stand at the marks `<image>` of the texts or before the first message.

    Args:
        model (`str`, [`PreTrainedModel`] or [`~peft.PeftModel`]):
            The mask predictor, or the folder or name to load it from.
        args ([`LLaDASFTConfig`], *optional*):
            The arguments.
        train_dataset ([`~datasets.Dataset`]):
            The rows to train on.
        eval_dataset ([`~datasets.Dataset`] or a dictionary of these, *optional*):
            Held-out rows.
        processing_class (`PreTrainedTokenizerBase` or `ProcessorMixin`, *optional*):
            The tokenizer, or the processor of a LLaDA-V. By default that of the model's checkpoint.
        peft_config ([`~peft.PeftConfig`], *optional*):
            An adapter to train instead of the weights. A [`~peft.LoraConfig`] without target modules is put on all seven
            projections. To continue with an adapter, pass a [`~peft.PeftModel`] loaded with `is_trainable=True`.
        quantization_config (`QuantizationConfigMixin`, *optional*):
            How to quantize a model that is loaded here; it then needs an adapter. The embedding, the norms and the head
            keep their precision.
        **kwargs:
            Other arguments of [`~trl.SFTTrainer`]: `callbacks`, `optimizers`, `formatting_func`...

    Raises:
        `ValueError`: if the data, the model, the tokenizer or an argument would train nothing, or something else.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer

    >>> rows = [{"prompt": "床前明月光，", "completion": "疑是地上霜。"}]
    >>> args = LLaDASFTConfig("runs/sft", max_steps=100)
    >>> trainer = LLaDASFTTrainer("checkpoints/llada-poet", args, train_dataset=Dataset.from_list(rows))
    >>> trainer.train()
    ```
    """

    # The loss is divided by the items of the global batch, so Trainer must not divide it by the number of accumulated
    # micro-batches. TRL translates this for transformers < 5.19.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: "str | PreTrainedModel | peft.PeftModel",  # noqa: F821
        args: LLaDASFTConfig | None = None,
        data_collator: None = None,
        train_dataset: Dataset | None = None,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        compute_loss_func: None = None,
        compute_metrics: None = None,
        preprocess_logits_for_metrics: None = None,
        quantization_config: "QuantizationConfigMixin | None" = None,  # noqa: F821
        peft_config: PeftConfig | None = None,
        **kwargs,
    ):
        if args is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            args = LLaDASFTConfig(f"{name.rstrip('/').split('/')[-1]}-SFT")
        check_processes(args)
        check_arguments(
            args,
            data_collator=data_collator,
            compute_loss_func=compute_loss_func,
            compute_metrics=compute_metrics,
            preprocess_logits_for_metrics=preprocess_logits_for_metrics,
        )
        datasets = named(train_dataset, eval_dataset)
        for name, dataset in datasets.items():
            check_dataset(dataset, name)
        model_init_kwargs = dict(args.model_init_kwargs or {})
        if isinstance(model, str):
            model = load_model(model, args, quantization_config)
            # TRL would warn that it ignores them.
            args.model_init_kwargs = quantization_config = None
        check_model(args, model, datasets, peft_config)
        has_blocks = settle_block_length(args, model)
        keep_gradients(model)
        if processing_class is None:
            revision = model_init_kwargs.get("revision", "main")
            processing_class = load_processing_class(model, revision, args.trust_remote_code)
        self._vision = None
        if sees_images(model):
            check_processor(processing_class, model.config)
            self._vision = VisionInputs(processing_class, model.config, args)
        tokenizer = processing_class if self._vision is None else self._vision.tokenizer
        check_tokenizer(tokenizer, model, args)
        check_stage(args, model, tokenizer.get_vocab(), peft_config)
        if self._vision is not None:
            set_stage(args, model, processing_class, peft_config)
            warn_of_suppressed_eos(args, model)

        self._formatting_func = kwargs.get("formatting_func")
        self._model_config = model.config
        datasets = {name: self._readable(dataset, name, tokenizer, args) for name, dataset in datasets.items()}
        train_dataset = datasets.pop("train_dataset", None)
        eval_dataset = like(eval_dataset, datasets.values())
        # `Trainer` sets the seed only after a new adapter was drawn, and loading a model draws numbers too.
        set_seed(args.seed)
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        records_routers = getattr(model.config, "output_router_logits", None)
        forward = vars(base).get("forward")  # with hooks of accelerate, if there are any
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            quantization_config=quantization_config,
            peft_config=adapter_of_language(peft_config, args.trained_parts)
            if self._vision
            else with_default_targets(peft_config),
            **kwargs,
        )
        if self._vision is not None:
            freeze_unused(self.model)
        # TRL has patched `forward` to add a head of its own, which is not used here and would call uncompiled layers.
        vars(base).pop("forward", None)
        if forward is not None:
            base.forward = forward
        if records_routers is not None:  # TRL has switched it on, also for what is saved
            self.model.config.output_router_logits = records_routers
        settle_trainer(self, model_init_kwargs)
        if (args.dataset_kwargs or {}).get("skip_prepare_dataset"):
            for name, dataset in named(train_dataset, eval_dataset).items():
                self._check_rows(dataset, name, args, tokenizer)
        # Set afterwards, because TRL's constructor accepts no other collator than its own for packed rows.
        collator = MaskingCollator if self._vision is None else self._vision.collator
        special = tokenizer.mask_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
        noise = args.block_length, args.complementary_masks, self.model.config.vocab_size
        self.data_collator = collator(*special, args.eos_fill, args.pad_to_multiple_of, *noise)
        self._objective = ResponseObjective(args, tokenizer.mask_token_id, has_blocks)
        self._meters = {mode: MaskedLossMeter(self.args.device) for mode in ("train", "eval")}
        self._balancing = None
        if self.aux_loss_enabled and has_balancing_loss(self.model.config):
            self._balancing = LoadBalancing(self.model.config, self.router_aux_loss_coef, self.args.device)
        balance_by_bias(self)
        self._logged_at = time.monotonic()
        if args.sample_every is not None:
            train_row = None if train_dataset is None else train_dataset[0]
            held_out = [self._documents(dataset) for dataset in named(None, self.eval_dataset).values()]
            prompts = sample_prompts(args, tokenizer, train_row, held_out)
            self.add_callback(SamplesCallback(self, args.sample_every, prompts, args.sample_kwargs))

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        # A graph of the whole model takes minutes to compile for 8B, but layers share one graph. Before 1.15 accelerate
        # silently left the layers uncompiled where it had given the model a `forward` with autocast.
        if self.args.torch_compile and is_accelerate_available("1.15"):
            self.accelerator.state.dynamo_plugin.use_regional_compilation = True

    # ---- Data ----

    # What depends on the tokenizer comes in `_prepare_dataset`, or after the constructor of TRL, which changes the tokenizer
    # and the embedding by `eos_token`, `pad_token` and `chat_template_path`.

    def _readable(self, dataset: Dataset, name: str, processing_class, args: LLaDASFTConfig) -> Dataset:
        """Checks a dataset of the user, and puts it into the form that TRL reads."""
        if (args.dataset_kwargs or {}).get("skip_prepare_dataset"):
            return tokenized_rows(dataset, name, args)
        if dataset.format["type"] != "custom":  # a transform, which TRL refuses
            dataset = dataset.with_format(None)
        if self._formatting_func is not None:
            if self._vision is not None:
                refuse_images(dataset, name)
            return dataset
        dataset = read_rows(dataset, name, args) if self._vision is None else self._vision.read(dataset, name)
        if args.chat_template_path is None:
            check_chat_template(processing_class, dataset[0], args.assistant_only_loss)
        return dataset

    def _prepare_dataset(
        self,
        dataset: Dataset,
        processing_class,
        args: LLaDASFTConfig,
        packing: bool,
        formatting_func,
        dataset_name: str,
    ) -> Dataset:
        name = name_of(dataset_name)
        tokenizer = processing_class if self._vision is None else self._vision.tokenizer
        if "input_ids" in dataset.column_names:
            dataset = tokenized_rows(dataset, name, args)
        if {"seq_lengths", IMAGE_LENGTHS} & set(dataset.column_names):  # nothing is left to do
            self._check_rows(dataset, name, args, tokenizer)
            return dataset

        def tokenize(rows: Dataset) -> Dataset:
            return self._tokenized(rows, name, tokenizer, args, formatting_func, dataset_name)

        if IMAGE_SIZES in dataset.column_names:
            dataset = self._vision.prepare(dataset, name, tokenize)
        else:
            dataset = finish_rows(tokenize(dataset), name, args, tokenizer)
            # The other two strategies cut documents themselves.
            if not packing or args.packing_strategy == "bfd":
                dataset = cut_rows(dataset, name, args)
        self._check_rows(dataset, name, args, tokenizer)
        if args.shuffle_dataset:
            dataset = dataset.shuffle(seed=args.seed)
        return pack_rows(dataset, name, args, tokenizer) if packing else dataset

    def _tokenized(
        self,
        dataset: Dataset,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        args: LLaDASFTConfig,
        formatting_func,
        dataset_name: str,
    ) -> Dataset:
        """Lets TRL tokenize rows, and marks the responses."""
        if args.completion_only_loss is None:
            self.completion_only_loss = True  # in rows with a prompt; TRL decides by the columns of the first dataset
        if USES_TOOLS in dataset.column_names:
            check_tools(dataset, name, tokenizer)
        # TRL would silently drop rows, and cut off an EOS before it could be missed.
        plain = copy.copy(args)
        plain.max_length, plain.shuffle_dataset = None, False
        given = dataset
        try:
            dataset = super()._prepare_dataset(dataset, tokenizer, plain, False, formatting_func, dataset_name)
        except Exception as error:  # of a template, which may raise any
            check_rendering(given, name, tokenizer, bool(args.assistant_only_loss), error)
            raise
        return switch_off_turns(dataset, name, args)

    def _check_rows(self, dataset: Dataset, name: str, args: LLaDASFTConfig, tokenizer) -> None:
        check_rows(dataset, name, args, tokenizer, num_input_ids(self._model_config))
        if self._vision is not None:
            check_placeholders(dataset, name, self._model_config)

    def _documents(self, dataset: Dataset) -> Iterator[dict]:
        return self._vision.documents(dataset) if IMAGE_SIZES in dataset.column_names else documents(dataset)

    def numbered_rows(self, dataset: Dataset, noise: RowNoise) -> NumberedRows:
        return (
            super().numbered_rows(dataset, noise)
            if self._vision is None
            else self._vision.numbered_rows(dataset, noise)
        )

    def evaluate(
        self,
        eval_dataset: Dataset | dict[str, Dataset] | str | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Evaluates on datasets, which are prepared first; see [`~trl.SFTTrainer.evaluate`]."""
        if isinstance(eval_dataset, dict):
            metrics = {}
            for name, dataset in eval_dataset.items():
                metrics |= self.evaluate(dataset, ignore_keys, f"{metric_key_prefix}_{name}")
            return metrics
        if eval_dataset is not None and not isinstance(eval_dataset, str):
            check_dataset(eval_dataset, "eval_dataset")
            eval_dataset = self._readable(eval_dataset, "eval_dataset", self._tokenizer, self.args)
            if (self.args.dataset_kwargs or {}).get("skip_prepare_dataset"):
                self._check_rows(eval_dataset, "eval_dataset", self.args, self._tokenizer)
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def predict(
        self, test_dataset: Dataset, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """
        Evaluates, and calls the callbacks of a prediction; see [`Trainer.predict`]. It returns no logits.

        Args:
            test_dataset ([`~datasets.Dataset`]):
                The rows, in any form that an evaluation takes.
        """
        args = self.args
        check_dataset(test_dataset, "test_dataset")
        dataset = self._readable(test_dataset, "test_dataset", self._tokenizer, args)
        if (args.dataset_kwargs or {}).get("skip_prepare_dataset"):
            self._check_rows(dataset, "test_dataset", args, self._tokenizer)
        else:
            packing = args.packing if args.eval_packing is None else args.eval_packing
            dataset = self._prepare_dataset(
                dataset, self.processing_class, args, packing, self._formatting_func, "test_dataset"
            )
        return super().predict(dataset, ignore_keys, metric_key_prefix)

    # ---- Loss ----

    def _get_num_items_in_batch(self, batch_samples: list[dict], device: torch.device) -> torch.Tensor | None:
        if not batch_samples:
            return None
        num_items = sum(self._objective.num_items(batch) for batch in batch_samples).to(device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            num_items = self.accelerator.gather(num_items).sum() / self.get_tp_size()
        return num_items

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, dict]:
        """The share of this micro-batch in the loss of the global batch; see [`Trainer.compute_loss`]."""
        is_training = self.model.training
        balancing = self._balancing if is_training else None
        options = {} if balancing is None else balancing.arguments
        outputs = model(**self._objective.model_inputs(inputs, is_training), **options)
        weighed = self._objective.weigh(inputs, outputs, is_training)
        num_items, num_processes = self._objective.num_items(inputs), 1
        loss = diffusion_loss(weighed.losses, weighed.rates, 1, weighed.lengths)
        num_tokens, masks = (inputs["documents"] >= 0).sum(), (weighed.is_masked, weighed.mask_rates)
        self._meters["train" if is_training else "eval"].add(loss, num_items, num_tokens, outputs, *masks)
        if num_items_in_batch is not None:
            num_items = torch.as_tensor(num_items_in_batch)
            if self.args.average_tokens_across_devices:
                num_processes = self.accelerator.num_processes // self.get_tp_size()
        loss = diffusion_loss(weighed.losses, weighed.rates, num_items.clamp(min=1), weighed.lengths, num_processes)
        if balancing is not None:
            share = self._objective.num_items(inputs) / num_items.clamp(min=1) * num_processes
            loss = loss + balancing.weighted_loss(outputs.router_logits, counted_tokens(inputs), share)
        return (loss, {}) if return_outputs else loss

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        # There are no logits to return.
        return super().prediction_step(model, inputs, prediction_loss_only=True, ignore_keys=ignore_keys)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Creates the optimizer, with the learning rates of the parts of a LLaDA-V; see [`Trainer.create_optimizer`]."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self._vision is not None:
            set_learning_rates(optimizer, self.model if model is None else model, self.args)
        return optimizer

    # ---- Logs ----

    def evaluation_loop(self, *args, metric_key_prefix: str = "eval", **kwargs) -> EvalLoopOutput:
        """
        Evaluates on noise that is the same at every call; see [`Trainer.evaluation_loop`].

        Returns:
            [`EvalLoopOutput`]: its metrics are the loss over all rows and noise samples, and for the masked tokens the
            accuracy, and the cross-entropy in each quarter of the mask rates.
        """
        started = time.monotonic()
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        metrics = self._meters["eval"].read(self.accelerator)
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in metrics.items()})
        self.pause_clock(time.monotonic() - started)
        return output

    def pause_clock(self, seconds: float) -> None:
        """Excludes seconds that were not spent on training from the tokens per second."""
        self._logged_at += seconds

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the metrics of the steps since the last log line; see [`Trainer.log`]."""
        if "loss" in logs:
            now = time.monotonic()
            seconds, self._logged_at = max(now - self._logged_at, 1e-9), now
            metrics = self._meters["train"].read(self.accelerator)
            del metrics["loss"]  # Trainer has it
            num_tokens, num_masked = metrics["num_tokens"], metrics.pop("num_masked_tokens")
            metrics["tokens_per_second"] = round(num_tokens / seconds, 1)
            metrics["masked_tokens_per_second"] = round(num_masked / seconds, 1)
            # Counted from the beginning of training: the log is part of a checkpoint.
            before = (entry["num_tokens"] for entry in reversed(self.state.log_history) if "num_tokens" in entry)
            metrics["num_tokens"] = num_tokens + next(before, 0)
            logs = logs | metrics | (self._balancing.read(self.accelerator) if self._balancing else {})
        super().log(logs, start_time)

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs):
        """Trains; see [`CompleteCheckpoints.train`]."""
        self._logged_at = time.monotonic()
        return super().train(resume_from_checkpoint, **kwargs)
