# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
r"""Variance-reduced preference optimisation (VRPO, https://huggingface.co/papers/2505.19223) on TRL.

It is DPO with evidence bounds B (`masking/evidence_bound.py`) in the place of log-likelihoods, which a masked diffusion model does
not have. With a chosen response y_w and a rejected one y_l to the prompt x,

    s = [B_theta(y_w | x) - B_ref(y_w | x)] - [B_theta(y_l | x) - B_ref(y_l | x)],   L(theta) = -log sigmoid(beta s)

The bounds are estimates, and the logarithm is not linear, so the noise of s biases the loss: its variance has to be small. Three
things make it so: several noise samples, each with one mask; the same noise for the policy and the reference; and masks that are
coupled within a response. At the first step the policy is the reference, and s is 0 exactly.

TRL computes the losses and the metrics. Its private `_compute_loss` is given the bounds where it would have a model compute
log-probabilities, and those of the reference where it would read precomputed ones. `_prepare_dataset` is overridden, because pairs
are checked before and after they are tokenized, and the data loaders are (`ordered_pairs.py`), because the noise belongs to the
pair.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch
from datasets import Dataset
from peft import PeftConfig, PeftModel
from torch.nn.functional import pad
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import DPOTrainer
from trl.trainer.utils import use_adapter

from ..masking.block_length import settle_block_length
from ..masking.evidence_bound import BoundTerms, bound_terms
from ..model_card import TrainingModelCard
from ..processes import check_processes
from ..resuming import CompleteCheckpoints
from ..sft.checks import check_tokenizer, check_tools, keep_gradients, with_default_targets
from ..sft.formats import USES_TOOLS
from ..sft.given import like, load_model, load_processing_class, name_of, named, settle_trainer
from .checks import check_arguments, check_chat_template, check_models
from .collator import PairCollator
from .configuration import LLaDAVRPOConfig
from .ordered_pairs import TOKENS, OrderedPairs
from .pairs import finish_pairs, read_pairs


# Metrics of TRL that a model has none of: they are about next tokens.
NEXT_TOKEN_METRICS = ("entropy", "logits/chosen", "logits/rejected", "mean_token_accuracy")


class LLaDAVRPOTrainer(TrainingModelCard, CompleteCheckpoints, OrderedPairs, DPOTrainer):
    """
    Trainer for preferences between two responses. What is not described here is as in [`~trl.DPOTrainer`].

    A dataset has the columns `prompt`, `chosen` and `rejected`, as texts or as lists of messages. Without `prompt`, it is what both
    responses begin with.

    Args:
        model (`str`, [`PreTrainedModel`] or [`~peft.PeftModel`]):
            The mask predictor, or the folder or name to load it from.
        ref_model ([`PreTrainedModel`], *optional*):
            The reference. By default what `model` is before the first step: with an adapter that begins here, the model without
            it; with an adapter that was trained before, a frozen copy of the adapter; otherwise a copy of all weights.
        args ([`LLaDAVRPOConfig`], *optional*):
            The arguments.
        train_dataset ([`~datasets.Dataset`]):
            The pairs to train on.
        eval_dataset ([`~datasets.Dataset`] or a dictionary of these, *optional*):
            Held-out pairs.
        processing_class (`PreTrainedTokenizerBase`, *optional*):
            The tokenizer. By default that of the model's checkpoint.
        peft_config ([`~peft.PeftConfig`], *optional*):
            An adapter to train instead of the weights. A [`~peft.LoraConfig`] without target modules is put on all seven
            projections.
        quantization_config (`QuantizationConfigMixin`, *optional*):
            How to quantize a model that is loaded here; it then needs an adapter.
        **kwargs:
            Other arguments of [`~trl.DPOTrainer`]: `callbacks` and `optimizers`.

    Raises:
        `ValueError`: if the pairs, a model, the tokenizer or an argument would train nothing, or something else.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from peft import LoraConfig
    >>> from modeling_llada.training import LLaDAVRPOConfig, LLaDAVRPOTrainer

    >>> pairs = [{"prompt": "床前明月光，", "chosen": "疑是地上霜。", "rejected": "床前明月光。"}]
    >>> args = LLaDAVRPOConfig("runs/vrpo", max_steps=100, learning_rate=1e-4)
    >>> trainer = LLaDAVRPOTrainer(
    ...     "checkpoints/llada-poet", args=args, train_dataset=Dataset.from_list(pairs), peft_config=LoraConfig(r=8)
    ... )
    >>> trainer.train()
    ```
    """

    objective = "preferences by evidence bounds (VRPO, https://huggingface.co/papers/2505.19223)"
    _tag_names = ["trl", "vrpo"]
    _name = "VRPO"

    def __init__(
        self,
        model: "str | PreTrainedModel | PeftModel",
        ref_model: PreTrainedModel | None = None,
        args: LLaDAVRPOConfig | None = None,
        data_collator: None = None,
        train_dataset: Dataset | None = None,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        compute_metrics: None = None,
        quantization_config: "QuantizationConfigMixin | None" = None,  # noqa: F821
        peft_config: PeftConfig | None = None,
        **kwargs,
    ):
        if args is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            args = LLaDAVRPOConfig(f"{name.rstrip('/').split('/')[-1]}-VRPO")
        check_processes(args)
        check_arguments(args, train_dataset, data_collator=data_collator, compute_metrics=compute_metrics)
        datasets = named(train_dataset, eval_dataset)
        datasets = {name: read_pairs(dataset, name, args) for name, dataset in datasets.items()}
        model_init_kwargs = dict(args.model_init_kwargs or {})
        if isinstance(model, str):
            model = load_model(model, args, quantization_config)
            # TRL would warn that it ignores them.
            args.model_init_kwargs = quantization_config = None
        check_models(args, model, ref_model, peft_config)
        has_blocks = settle_block_length(args, model)
        keep_gradients(model)
        if processing_class is None:
            revision = model_init_kwargs.get("revision", "main")
            processing_class = load_processing_class(model, revision, args.trust_remote_code)
        check_tokenizer(processing_class, model, args)
        if ref_model is None and peft_config is None and not isinstance(model, PeftModel):
            # TRL would load it from the folder that the model came from, which knows nothing of changes since then.
            ref_model = copy.deepcopy(model).requires_grad_(False).eval()
        self._model_config = model.config
        super().__init__(
            model=model,
            ref_model=ref_model,
            args=args,
            train_dataset=datasets.pop("train_dataset"),
            eval_dataset=like(eval_dataset, datasets.values()),
            processing_class=processing_class,
            quantization_config=quantization_config,
            peft_config=with_default_targets(peft_config),
            **kwargs,
        )
        settle_trainer(self, model_init_kwargs)
        self._block_length = args.block_length if has_blocks else None
        self.data_collator = PairCollator(
            eos_token_id=processing_class.eos_token_id,
            pad_token_id=processing_class.pad_token_id,
            num_samples=args.num_noise_samples,
            antithetic=args.antithetic_masks,
            shared_noise=args.shared_noise,
            eos_fill=args.eos_fill,
            pad_to_multiple_of=args.pad_to_multiple_of,
            block_length=self._block_length,
        )
        self.aux_loss_enabled = False  # the experts keep their balance, which was learned before
        self.precompute_ref_logps = True  # TRL then reads the scores of the reference from the batch
        losses = list(zip(self.loss_types, self.loss_weights, strict=True))
        self._sft_weight = sum(weight for loss, weight in losses if loss == "sft")
        self.loss_types = [loss for loss, _ in losses if loss != "sft"]
        self.loss_weights = [weight for loss, weight in losses if loss != "sft"]

    # ---- Data ----

    def _prepare_dataset(
        self, dataset: Dataset, processing_class, args: LLaDAVRPOConfig, dataset_name: str
    ) -> Dataset:
        name = name_of(dataset_name)
        if not {USES_TOOLS, *TOKENS} & set(dataset.column_names):
            dataset = read_pairs(dataset, name, args)
        if USES_TOOLS in dataset.column_names:
            check_chat_template(dataset, name, processing_class)
            check_tools(dataset, name, processing_class)
            plain = copy.copy(args)
            plain.max_length = None  # TRL would silently drop the rows whose prompt is longer
            try:
                dataset = super()._prepare_dataset(dataset, processing_class, plain, dataset_name)
            except Exception as error:  # of a template, which may raise any
                raise ValueError(
                    f"`{name}` must have messages that the chat template of `processing_class` can write, but it refuses one: "
                    f"{error}. Change or drop such rows, or set another template."
                ) from error
        config = self._model_config
        return finish_pairs(
            dataset, name, args, processing_class, config.vocab_size, context=config.max_position_embeddings
        )

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        return dataset  # they are computed in each step, on the noise of the step

    # ---- Loss ----

    def _compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], return_outputs: bool
    ) -> torch.Tensor:
        with torch.no_grad(), self._reference() as reference:
            theirs = self._bound_terms(reference, inputs, "" if self.args.shared_noise else "reference_")
        ours = self._bound_terms(model, inputs)
        # TRL reads no score of the first position, as an autoregressive model has none.
        rows = {name: pad(inputs[name], (1, 0)) for name in ("input_ids", "attention_mask", "completion_mask")}
        rows["ref_chosen_logps"], rows["ref_rejected_logps"] = theirs.bounds.chunk(2)
        loss = super()._compute_loss(lambda **_: _in_the_form_of_trl(ours), rows, False)
        if self._sft_weight:
            chosen, _ = (ours.bounds / inputs["completion_mask"].sum(-1)).chunk(2)
            loss = loss - self._sft_weight * chosen.mean()
        self._add_metrics(inputs, ours, theirs)
        return loss

    def _bound_terms(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], prefix: str = "") -> BoundTerms:
        return bound_terms(
            model,
            inputs["input_ids"],
            inputs["attention_mask"],
            inputs[f"{prefix}weights"],
            inputs[f"{prefix}masked_positions"],
            self._model_config.mask_token_id,
            chunk_size=self.args.loss_chunk_size,
            block_length=self._block_length,
        )

    @contextmanager
    def _reference(self) -> Iterator[torch.nn.Module]:
        """A model of its own, or the policy without its adapter, or with a copy of the adapter that it began with."""
        if self.ref_model is not None:
            yield self.ref_model
            return
        model = self.accelerator.unwrap_model(self.model)
        with use_adapter(model, "ref" if "ref" in model.peft_config else None):
            yield self.model

    @torch.no_grad()
    def _add_metrics(self, inputs: dict[str, torch.Tensor], ours: BoundTerms, theirs: BoundTerms) -> None:
        metrics = self._metrics["train" if self.model.training else "eval"]
        for name in NEXT_TOKEN_METRICS:
            del metrics[name]
        counts = torch.stack([ours.correct.sum(), (inputs["masked_positions"] >= 0).sum()])
        correct, masked = self.accelerator.reduce(counts, "sum").tolist()
        metrics["masked_accuracy"].append(correct / masked)
        chosen, rejected = (ours.samples - theirs.samples).chunk(2)
        scores = chosen - rejected
        if self.args.antithetic_masks:
            scores = scores.unflatten(-1, (-1, 2)).mean(-1)
        num_independent = scores.shape[-1]
        if num_independent > 1:
            errors = self.beta * scores.std(-1) / num_independent**0.5
            metrics["rewards/margins_error"].append(self.accelerator.gather(errors).mean().item())

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        # There are no logits to return.
        return super().prediction_step(model, inputs, prediction_loss_only=True, ignore_keys=ignore_keys)


def _in_the_form_of_trl(scores: BoundTerms) -> SimpleNamespace:
    """The terms of tokens where TRL has log-probabilities. What it only makes metrics of is empty."""
    tokens = scores.tokens
    nothing = torch.zeros_like(tokens)
    return SimpleNamespace(log_probs=tokens, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool())
