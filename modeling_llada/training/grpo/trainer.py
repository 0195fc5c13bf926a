# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Policy gradients on rewards (GRPO, https://huggingface.co/papers/2402.03300) for masked diffusion models, on TRL.

The model writes a group of answers to each prompt by `generate`, rewards are given, and answers that are better than the mean of
their group become more probable. What is probable is an estimate (`noise.py`), as a masked diffusion model has no likelihood.

- The noise of an answer follows from a seed that travels with it through TRL's shuffle. So the old and the new score of an answer
  see the same noise, in any batch, and their ratio is exactly 1 before the first update.
- Answers are scored on the canvas that they were written on (`canvas.py`): behind the prompt, or in the masks of the prompt.
- The loss, the rewards and the metrics are TRL's. Its private `_get_per_token_logps_and_entropies`,
  `_generate_single_turn`, `_generate_and_score_completions`, `_calculate_rewards` and `_compute_loss` are overridden.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from datasets import Dataset
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import pad as pad_rows

from ...seeds import named_generator
from ..masking.collator import filled_positions
from ..masking.evidence_bound import bound_terms
from ..model_card import TrainingModelCard
from ..processes import check_processes
from ..resuming import CompleteCheckpoints
from ..sft.checks import check_tokenizer, keep_gradients, with_default_targets
from ..sft.given import load_model, load_processing_class, named, settle_trainer
from .canvas import CanvasBehindPrompt, CanvasInPrompt, WrittenRows
from .checks import check_arguments, check_model, check_prompts, check_rewards
from .configuration import LLaDAGRPOConfig
from .noise import LIKELIHOODS, WrittenRow


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Answers are written as they will be used. In training mode no steps can be recorded."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


class LLaDAGRPOTrainer(TrainingModelCard, CompleteCheckpoints, GRPOTrainer):
    """
    Trainer for rewards. What is not described here is as in [`~trl.GRPOTrainer`].

    Args:
        model (`str`, [`PreTrainedModel`] or [`~peft.PeftModel`]):
            The mask predictor, or the folder or name to load it from.
        reward_funcs (`Callable` or a list of these):
            Functions of `prompts`, `completions` and the columns of the dataset, which return a number for each completion, or
            `None` for one that they do not judge.
        args ([`LLaDAGRPOConfig`]):
            The arguments. `generation_kwargs` must be set.
        train_dataset ([`~datasets.Dataset`]):
            Rows with a `prompt`, a text or a list of messages, and what the rewards need. If prompts hold mask tokens, an answer
            is what fills them, and a completion the filled tokens in their order.
        eval_dataset ([`~datasets.Dataset`] or a dictionary of these, *optional*):
            Held-out rows.
        processing_class (`PreTrainedTokenizerBase`, *optional*):
            The tokenizer. By default that of the model's checkpoint.
        peft_config ([`~peft.PeftConfig`], *optional*):
            An adapter to train instead of the weights. A [`~peft.LoraConfig`] without target modules is put on all seven
            projections.
        quantization_config (`QuantizationConfigMixin`, *optional*):
            How to quantize a model that is loaded here; it then needs an adapter.
        **kwargs:
            Other arguments of [`~trl.GRPOTrainer`]: `callbacks`, `optimizers`, `reward_processing_classes`.

    Raises:
        `ValueError`: if the prompts, the model, the tokenizer or an argument would train nothing, or something else.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from modeling_llada.training import LLaDAGRPOConfig, LLaDAGRPOTrainer

    >>> args = LLaDAGRPOConfig("runs/grpo", max_steps=100, max_completion_length=8, generation_kwargs={"steps": 4})
    >>> trainer = LLaDAGRPOTrainer(
    ...     "checkpoints/llada-poet",
    ...     lambda completions, **kwargs: [float("月" in text) for text in completions],
    ...     args,
    ...     Dataset.from_list([{"prompt": "床前明月光，"}]),
    ... )
    >>> trainer.train()
    ```
    """

    objective = "rewards (GRPO, https://huggingface.co/papers/2402.03300)"

    def __init__(
        self,
        model: "str | PreTrainedModel | PeftModel",
        reward_funcs: Callable | list[Callable],
        args: LLaDAGRPOConfig,
        train_dataset: Dataset | None = None,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        quantization_config: "QuantizationConfigMixin | None" = None,  # noqa: F821
        peft_config: PeftConfig | None = None,
        tools: None = None,
        rollout_func: None = None,
        environment_factory: None = None,
        **kwargs,
    ):
        check_arguments(
            args, train_dataset, tools=tools, rollout_func=rollout_func, environment_factory=environment_factory
        )
        check_processes(args)
        model_init_kwargs = dict(args.model_init_kwargs or {})
        if isinstance(model, str):
            model = load_model(model, args, quantization_config)
            # TRL would warn that it ignores them.
            args.model_init_kwargs = quantization_config = None
        check_model(args, model, peft_config)
        keep_gradients(model)
        if processing_class is None:
            revision = model_init_kwargs.get("revision", "main")
            processing_class = load_processing_class(model, revision, args.trust_remote_code)
        check_tokenizer(processing_class, model, args)
        self._model_config = config = model.config
        datasets = named(train_dataset, eval_dataset)
        fills_masks = check_prompts(datasets, args, processing_class, config)
        options = args.generation_kwargs
        # TRL sets it itself, and gets the same name twice if it is here.
        args.generation_kwargs = {name: value for name, value in options.items() if name != "disable_compile"}
        super().__init__(
            model=model,
            reward_funcs=reward_funcs,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            quantization_config=quantization_config,
            peft_config=with_default_targets(peft_config),
            **kwargs,
        )
        settle_trainer(self, model_init_kwargs)
        args.generation_kwargs = options
        self.generation_config.disable_compile = options.get("disable_compile", True)
        self.aux_loss_enabled = False  # the experts keep their balance, which was learned before

        self._canvas = CanvasBehindPrompt(
            args.max_completion_length, processing_class.eos_token_id, self.eos_token_ids
        )
        if fills_masks:
            self._canvas = CanvasInPrompt(config.mask_token_id)
            self.generation_kwargs["max_new_tokens"] = self.generation_config.max_new_tokens = 0

    # ---- Answers ----

    # By `generate`, not by `BatchedDecoder`: all prompts are there at once and their canvases have one length, so that none would
    # join later, and rows that have ended take no part in passes here either.

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args, **kwargs) -> tuple[list[list[int]], None]:
        replays = self.args.likelihood == "trace"
        rows = [torch.tensor(ids) for ids in prompt_ids]
        ids = pad_rows(rows, padding_value=self.processing_class.pad_token_id, padding_side="left")
        seen = pad_rows([torch.ones_like(row) for row in rows], padding_value=0, padding_side="left")
        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                generation_kwargs=self.generation_kwargs,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as model,
            torch.no_grad(),
            self._dist.summon_full_params(self.model_wrapped, recurse=False),
            evaluation_mode(model),
        ):
            inputs = {"input_ids": ids.to(model.device), "attention_mask": seen.to(model.device)}
            inputs |= {"return_dict_in_generate": True, "output_trajectory": replays}
            output = model.generate(**inputs, generation_config=self.generation_config)
        filled = output.sequences.cpu()
        places = self._canvas.completions(filled, ids, seen)
        if replays:
            self._steps = self._canvas.kept_steps(output.trajectory[0].cpu().long(), places)
        return [row[place].tolist() for row, place in zip(filled, places, strict=True)], None

    def _calculate_rewards(self, *args, **kwargs) -> torch.FloatTensor:
        rewards = super()._calculate_rewards(*args, **kwargs)
        check_rewards(rewards, self.reward_func_names)
        return rewards

    # ---- Noise ----

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict[str, torch.Tensor]:
        args, step = self.args, self._step % self.args.gradient_accumulation_steps
        mode = "train" if self.model.training else "eval"
        names = (mode, args.seed, "answers", self.state.global_step, step, args.process_index)
        self._noise_seeds = torch.randint(2**62, (len(inputs),), generator=named_generator(*names))
        self._steps = torch.empty(len(inputs), 0, dtype=torch.long)
        output = super()._generate_and_score_completions(inputs)
        device = output["prompt_ids"].device
        return output | {"noise_seeds": self._noise_seeds.to(device), "commit_steps": self._steps.to(device)}

    def _noise(
        self, rows: WrittenRows, seeds: torch.LongTensor, steps: torch.LongTensor | None
    ) -> tuple[torch.BoolTensor, torch.FloatTensor]:
        """The masks and the weights of rows, `(rows, samples, length)`."""
        draw = LIKELIHOODS[self.args.likelihood]
        parts = [rows.seen & ~rows.canvas, rows.canvas, rows.answer, *([] if steps is None else [steps])]
        noise = [
            draw(WrittenRow(*row), self.args.num_noise_samples, torch.Generator().manual_seed(seed))
            for *row, seed in zip(*(part.cpu() for part in parts), seeds.tolist(), strict=True)
        ]
        masks, weights = zip(*noise, strict=True)
        return torch.stack(masks), torch.stack(weights)

    # ---- Loss ----

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **kwargs,
    ) -> tuple[torch.FloatTensor, torch.FloatTensor | None, None]:
        size = batch_size or len(input_ids)
        batches = (tensor.split(size) for tensor in (input_ids, attention_mask, self._noise_seeds, self._steps))
        parts = [self._score(model, logits_to_keep, compute_entropy, *batch) for batch in zip(*batches, strict=True)]
        tokens, entropies = zip(*parts, strict=True)
        return torch.cat(tokens), torch.cat(entropies) if compute_entropy else None, None

    def _score(
        self,
        model: torch.nn.Module,
        num_answer: int,
        with_entropies: bool,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor,
        seeds: torch.LongTensor,
        steps: torch.LongTensor,
    ) -> tuple[torch.FloatTensor, torch.FloatTensor | None]:
        """The scores of the tokens of answers, and the entropies of the rows at each of them, `(rows, num_answer)` both."""
        rows = self._canvas.rows(input_ids, attention_mask, num_answer)
        device = input_ids.device
        replays = self.args.likelihood == "trace"
        steps = self._canvas.steps(steps.to(device), rows, attention_mask) if replays else None
        masks, weights = self._noise(rows, seeds, steps)
        scores = bound_terms(
            model,
            rows.ids,
            rows.seen.long(),
            weights.to(device),
            filled_positions(weights > 0).to(device),
            self._model_config.mask_token_id,
            masks=masks.to(device),
            chunk_size=self.args.loss_chunk_size,
            with_entropies=with_entropies,
        )
        tokens = self._canvas.of_completion(scores.tokens, rows, attention_mask, num_answer)
        if self.args.likelihood == "elbo":
            # The bound is that of the canvas, and TRL divides the sum of these scores by the length of the answer.
            tokens = tokens * rows.answer.sum(-1, keepdim=True) / rows.canvas.sum(-1, keepdim=True)
        self._scores, self._canvas_lengths = tokens, rows.canvas.sum(-1)
        return tokens, scores.entropies[:, None].expand_as(tokens) if with_entropies else None

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        self._noise_seeds, self._steps = inputs["noise_seeds"], inputs["commit_steps"]
        if self.args.likelihood != "elbo" or self.beta == 0:
            return super()._compute_loss(model, inputs)
        beta, self.beta = self.beta, 0.0  # TRL's divergence of tokens explodes on their weights
        try:
            loss = super()._compute_loss(model, inputs)
        finally:
            self.beta = beta
        mode = "train" if self.model.training else "eval"
        # Of bounds, divided by the length of the canvas.
        differences = (self._scores - inputs["ref_per_token_logps"]).sum(-1) / inputs["completion_mask"].sum(-1)
        divergence = (differences**2 / 2 * self._canvas_lengths).mean()
        self._metrics[mode]["kl"].append(self.accelerator.gather(divergence.detach()).mean().item())
        return loss + beta * divergence / (self.current_gradient_accumulation_steps if mode == "train" else 1)
