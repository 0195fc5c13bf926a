# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Masked diffusion pre-training on the Trainer of transformers.

The loss is eq. 3 of the paper (https://huggingface.co/papers/2502.09992), normalised by all tokens of the global batch:

    L(theta) = 1 / (B L)  sum_b 1/t_b  sum_i 1[x_t^(b,i) = M]  (-log p_theta(x_0^(b,i) | x_t^b))

- Rows and noise are functions of the seed and the step, made on the device (`batches.py`, `rows.py`).
- Logits are computed for the masked positions only, in a static number, with one compiled graph for each shape. This is
  the same alone and under DistributedDataParallel.
- Nothing waits for the device between two log lines.
- Evaluation uses fixed noise (`held_out_loss.py`). A time limit leaves a checkpoint to resume from.
"""

import math
import time
from pathlib import Path

import torch
from transformers import PreTrainedModel, Trainer, TrainerCallback
from transformers.optimization import get_scheduler
from transformers.utils import logging

from ...models.diffusion_llada import LLaDAMaskedLossOutput, diffusion_loss
from ..callbacks import TimeLimitCallback
from ..expert_bias import balance_by_bias
from ..masking.block_length import settle_block_length
from ..masking.confidence import masked_slots, sharpened_losses
from ..masking.load_balancing import LoadBalancing, has_balancing_loss
from ..model_card import TrainingModelCard
from ..processes import check_gpus, check_processes
from ..progress import show_progress_lines
from ..resuming import CompleteCheckpoints
from .batches import RowSource, TrainingBatches
from .causal_annealing import check_attention
from .configuration import LLaDAPretrainingConfig
from .held_out_loss import held_out_bounds
from .separate_documents import attention_within_documents, numbers_of_documents, without_cut_tokens
from .sources import as_rows, check_separable, needed_id, open_held_out, open_source, steps_of_epochs


logger = logging.get_logger(__name__)


def masked_token_losses(
    model: PreTrainedModel,
    input_ids: torch.LongTensor,
    labels: torch.LongTensor,
    masked_positions: torch.LongTensor,
    attention_mask: torch.LongTensor | None = None,
    **kwargs,
) -> LLaDAMaskedLossOutput:
    """The cross-entropy of each masked token; see [`LLaDAForMaskedLM.forward`]. Chunks would only slow a small model down."""
    return model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        labels=labels,
        masked_positions=masked_positions,
        loss_chunk_size=None,
        **kwargs,
    )


class LLaDAPretrainer(TrainingModelCard, CompleteCheckpoints, Trainer):
    """
    Trainer for masked diffusion pre-training.

    Args:
        model ([`PreTrainedModel`]):
            The mask predictor, with `config.mask_token_id`.
        args ([`LLaDAPretrainingConfig`]):
            The arguments.
        train_dataset (`str`, `Path`, [`TokenShards`], [`~datasets.IterableDataset`], [`~datasets.Dataset`], `torch.LongTensor` of shape `(num_rows, width)`, [`ShardRows`] or [`RowMixture`]):
            Where rows come from: a folder that `llada tokenize` wrote; a dataset that is read as it comes, with a column
            `input_ids` or `text`; a dataset with a column `input_ids` of rows of one width; or such rows.
        eval_dataset (`str`, `Path`, [`TokenShards`], [`~datasets.Dataset`], `torch.LongTensor` of shape `(num_rows, width)`, or a dictionary of these, *optional*):
            Held-out rows; of a folder, windows of its split `validation`.
        callbacks (`list[TrainerCallback]`, *optional*):
            More callbacks.
        kwargs (`dict`, *optional*):
            Further arguments of [`Trainer`], such as the tokenizer as `processing_class`, which encodes a column `text`.

    Raises:
        `ValueError`: if a dataset does not fit the model or the arguments.

    Example:

    ```python
    >>> from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig

    >>> args = LLaDAPretrainingConfig("runs/tiny", max_steps=100, tokens_per_step=1024)
    >>> trainer = LLaDAPretrainer(model, args, train_dataset=input_ids, eval_dataset=held_out_ids)
    >>> trainer.train()
    >>> trainer.evaluate()["eval_loss"]  # nats per token
    ```
    """

    # The loss is normalised by all tokens of the global batch, so Trainer must not divide it by the number of
    # accumulated micro-batches.
    loss_is_scaled_for_ga = True
    token_losses = staticmethod(masked_token_losses)
    needed_token = "mask_token_id"
    check_attention = staticmethod(check_attention)
    check_noise = staticmethod(LLaDAPretrainingConfig.check_noise)

    def __init__(
        self,
        model: PreTrainedModel,
        args: LLaDAPretrainingConfig,
        train_dataset: "RowSource | torch.Tensor | datasets.Dataset | None" = None,  # noqa: F821
        eval_dataset: "torch.Tensor | datasets.Dataset | dict | None" = None,  # noqa: F821
        callbacks: list[TrainerCallback] | None = None,
        **kwargs,
    ):
        if getattr(model.config, self.needed_token, None) is None:
            raise ValueError(
                f"`model` needs `config.{self.needed_token}`: set it to the id that the tokenizer has for this token."
            )
        self.check_noise(args)
        self._has_blocks = settle_block_length(args, model)
        if self._has_blocks and args.causal_annealing_ratio:
            raise ValueError(
                "`causal_annealing_ratio` must be 0 for a model of blocks, whose attention is that of blocks. Begin with short blocks "
                "instead, by a `BlockLengthCallback`."
            )
        for argument in ("causal_annealing_ratio", "separate_documents"):
            if getattr(args, argument) and not self._has_blocks:
                self.check_attention(model, argument)
        if args.separate_documents:
            check_separable(model.config)
        check_processes(args)
        if train_dataset is not None:
            train_dataset = open_source(train_dataset, args, model.config, kwargs.get("processing_class"))
            if args.num_train_epochs:
                args.max_steps = steps_of_epochs(train_dataset, args)
        eval_dataset = open_held_out(eval_dataset, args, model.config)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            callbacks=callbacks,
            **kwargs,
        )
        check_gpus(args)
        show_progress_lines(self)
        # The same for transformers < 5.19, together with the number of items.
        self.model_accepts_loss_kwargs = True
        self._token_losses = self.token_losses
        if args.compile_loss:
            # One graph for each shape of rows. At the default limit of 8 graphs torch would silently stop compiling.
            many_graphs = torch._dynamo.config.patch(cache_size_limit=64)
            self._token_losses = many_graphs(torch.compile(self.token_losses, dynamic=False))
        balance_by_bias(self)
        self._balancing = None
        if has_balancing_loss(model.config) and model.config.router_aux_loss_coef:
            self._balancing = LoadBalancing(model.config, model.config.router_aux_loss_coef, args.device)
        self._batches: TrainingBatches | None = None
        self._logged = (time.monotonic(), 0)  # time and step of the last log line
        if args.max_minutes is not None:
            self.add_callback(TimeLimitCallback(args.max_minutes))

    def get_train_dataloader(self) -> TrainingBatches:
        """The batches of this process, starting where training stands."""
        args, source = self.args, self.train_dataset
        if source is None:
            raise ValueError("`train_dataset` is needed for training.")
        self._batches = self._make_batches(
            source,
            max_steps=args.max_steps,
            tokens_per_step=args.tokens_per_step,
            device=args.device,
            seed=args.seed,
            eps=args.rate_eps,
            highest=args.rate_max,
            corruption_rate=args.corruption_rate,
            vocab_size=self.model.config.vocab_size,
            complementary_masks=args.complementary_masks,
            divides_by_predictions=args.divides_by_predictions,
            random_length_ratio=args.random_length_ratio,
            causal_annealing_ratio=args.causal_annealing_ratio,
            accumulation_steps=args.gradient_accumulation_steps,
            num_processes=args.world_size,
            process_index=args.process_index,
            first_step=self._first_step,
        )
        return self._batches

    def _make_batches(self, source: RowSource, **settings) -> TrainingBatches:
        return TrainingBatches(source, mask_token_id=self.model.config.mask_token_id, **settings)

    def _first_step(self) -> int:
        self._logged = (time.monotonic(), self.state.global_step)
        return self.state.global_step

    def _save_checkpoint(self, model: torch.nn.Module, trial) -> None:
        if hasattr(self.train_dataset, "save"):  # first, as the state of the trainer makes a checkpoint complete
            folder = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
            self.train_dataset.save(folder, self.state.global_step)
        super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and hasattr(self.train_dataset, "resume"):
            self.train_dataset.resume(checkpoint)
        super()._load_optimizer_and_scheduler(checkpoint)

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> torch.Tensor | int | None:
        # Each process knows it, without asking the others or waiting for the device.
        return batch_samples[0]["num_items"] if batch_samples else None

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, dict]:
        """The share of this micro-batch in the loss of the global batch; see [`Trainer.compute_loss`]."""
        rates, visible, cut = inputs["rates"], inputs.get("visible"), inputs.get("attention_mask")
        inputs = {key: value for key, value in inputs.items() if key not in ("num_items", "rates", "visible")}
        inputs["attention_mask"] = self._seen(inputs["labels"], visible, cut)
        # Cut rows are rare: not worth the compilation of further graphs.
        token_losses = self._token_losses if cut is None else self.token_losses
        options = {} if self._balancing is None else dict(self._balancing.arguments)
        if self._has_blocks:
            options |= {"clean_ids": inputs["labels"], "block_length": self.args.block_length}
        weight, positions = self.args.confidence_weight, inputs["masked_positions"]
        if weight:
            options["loss_entropies"] = True
        outputs, num_processes = token_losses(model, **inputs, **options), self.accelerator.num_processes
        losses = outputs.losses
        if weight:
            is_masked = masked_slots(inputs["input_ids"], positions, self.model.config.mask_token_id)
            losses = sharpened_losses(outputs, weight, is_masked)
        loss = diffusion_loss(losses, rates, num_items_in_batch, num_processes=num_processes)
        if self._balancing is not None:
            is_real = torch.ones_like(inputs["labels"]) if cut is None else cut
            items = positions >= 0 if self.args.divides_by_predictions else is_real
            share = items.sum() / num_items_in_batch * num_processes
            loss = loss + self._balancing.weighted_loss(outputs.router_logits, is_real, share)
        return (loss, {}) if return_outputs else loss

    def _seen(
        self, labels: torch.LongTensor, visible: torch.BoolTensor | None, cut: torch.LongTensor | None
    ) -> torch.Tensor | None:
        """The attention mask of noisy rows. For a model of blocks it holds the numbers of documents."""
        if self.args.separate_documents:
            alone = self._attention_of(labels)
            visible = alone if visible is None else visible & alone
        if visible is None or cut is None:
            return cut if visible is None else visible
        return visible * cut if self._has_blocks else without_cut_tokens(visible, cut)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None):
        kwargs = dict(self.args.lr_scheduler_kwargs or {})
        wants_decay = self.args.lr_scheduler_type == "warmup_stable_decay" and "num_decay_steps" not in kwargs
        if self.lr_scheduler is not None or not wants_decay:
            return super().create_scheduler(num_training_steps, optimizer)
        kwargs["num_decay_steps"] = round(self.args.decay_ratio * num_training_steps)
        self.lr_scheduler = get_scheduler(
            self.args.lr_scheduler_type,
            optimizer=self.optimizer if optimizer is None else optimizer,
            num_warmup_steps=self.args.get_warmup_steps(num_training_steps),
            num_training_steps=num_training_steps,
            scheduler_specific_kwargs=kwargs,
        )
        self._created_lr_scheduler = True
        return self.lr_scheduler

    @torch.no_grad()
    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """
        Held-out loss in nats per token, on noise that is the same at every call.

        Returns:
            `dict[str, float]`: `eval_loss`, `eval_perplexity` (its exponential) and `eval_runtime`. For a dictionary of
            datasets they contain its keys, as in `eval_famous_loss`.
        """
        eval_dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if eval_dataset is None:
            raise ValueError("`eval_dataset` is needed for evaluation.")
        if isinstance(eval_dataset, dict):
            metrics = {}
            for name, rows in eval_dataset.items():
                metrics.update(self.evaluate(rows, ignore_keys, f"{metric_key_prefix}_{name}"))
            return metrics
        started, args, model = time.monotonic(), self.args, self.model
        was_training = model.training
        model.eval()
        with self.accelerator.autocast():
            rows = as_rows(open_held_out(eval_dataset, args, model.config), "eval_dataset", model.config)
            loss = self._held_out_loss(rows.to(args.device).long())
        model.train(was_training)
        metrics = {"loss": loss, "perplexity": math.exp(loss), "runtime": round(time.monotonic() - started, 3)}
        metrics = {f"{metric_key_prefix}_{key}": value for key, value in metrics.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(args, self.state, self.control, metrics)
        return metrics

    def _held_out_loss(self, input_ids: torch.LongTensor) -> float:
        """The mean over rows that the processes have divided among them."""
        num_rows, world_size = len(input_ids), self.args.world_size
        part = math.ceil(num_rows / world_size)
        # Where they do not divide evenly, the last row is computed again: sharded models need the same passes everywhere.
        own = (torch.arange(part) + part * self.args.process_index).clamp(max=num_rows - 1)
        losses = self._losses_of_rows(input_ids, own)
        if world_size > 1:
            losses = self.accelerator.gather(losses.to(self.args.device)).cpu()[:num_rows]
        return losses.mean().item()

    def _losses_of_rows(self, input_ids: torch.LongTensor, own: torch.LongTensor) -> torch.DoubleTensor:
        """The held-out loss of some rows, in nats per token, `(len(own),)`."""
        args = self.args
        attention = self._attention_of if args.separate_documents else None
        settings = (args.eval_num_samples, args.eval_batch_size, args.eval_seed)
        block_length = args.block_length if self._has_blocks else None
        return held_out_bounds(self.model, input_ids, *settings, own, attention, block_length)

    def _attention_of(self, input_ids: torch.LongTensor) -> torch.Tensor:
        """The attention mask of clean rows with `separate_documents`. For a model of blocks it holds the numbers of documents."""
        separate = numbers_of_documents if self._has_blocks else attention_within_documents
        return separate(input_ids, needed_id(self.model.config, "bos_token_id"))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the speed since the last log line; see [`Trainer.log`]."""
        if "loss" in logs and self._batches is not None:
            now, step = time.monotonic(), self.state.global_step
            (then, step_then), self._logged = self._logged, (now, step)
            logs["tokens_per_second"] = round((step - step_then) * self.args.tokens_per_step / max(now - then, 1e-9))
            if self._balancing is not None:
                logs |= self._balancing.read(self.accelerator)
            if dropped := int(self._batches.num_dropped):
                logs["dropped_masked_tokens"] = dropped
        if self.state.max_steps > 0:
            # The finished part of the run, or of its epochs. Trainer's own count would restart at 0 in a resumed run.
            epochs = self.args.num_train_epochs or 1
            self.state.epoch = round(epochs * self.state.global_step / self.state.max_steps, 4)
        super().log(logs, start_time)
