# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDA as a model of lm-evaluation-harness, under the name `llada`."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from ..loading import load_checkpoint, merge_adapter
from ..models.denoising_llada import end_tokens
from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.guidance_llada import guided_logits
from ..models.likelihood_llada import check_samples
from ..models.modeling_llada import LLaDAForMaskedLM
from ..seeds import content_generator
from .stop_strings import cut_answer


DEFAULT_MAX_GEN_TOKS = 256  # the default of the harness


@register_model("llada")
class LLaDAHarnessLM(TemplateLM):
    r"""
    A LLaDA checkpoint as a model of lm-evaluation-harness.

    - `loglikelihood` estimates eq. 6 of the paper. Answers of one token are exact: they take one forward pass for all
      answers to the same question.
    - `loglikelihood_rolling` scores whole texts with sliding windows, without a token in front of them.
    - `generate_until` decodes by diffusion. A row ends at its first stop string, end of text or end of turn.

    The tokens of a request determine the seed of its noise, so results do not depend on the batch, the order of the
    requests or the number of processes. Decoding options of this class override those of a task, which mean what they mean
    for other models of the harness, and override generation_config.json of the checkpoint.

    Args:
        model (`str` or [`LLaDAForMaskedLM`]):
            The folder or Hub id of a checkpoint or a PEFT adapter, or a loaded model.
        peft (`str`, *optional*):
            The folder or Hub id of an adapter to merge into the model.
        tokenizer (`PreTrainedTokenizerBase`, *optional*):
            The tokenizer of a loaded model.
        device (`str`, *optional*):
            The device of the model. By default an accelerator if there is one, and under `accelerate launch` the device
            of the process.
        dtype (`str`, *optional*):
            The dtype of the model. By default float32 on the CPU, and the dtype of the checkpoint elsewhere.
        batch_size (`int`, *optional*, defaults to 16):
            The number of sequences in a forward pass.
        num_samples (`int`, *optional*, defaults to 128):
            The number of noise samples for a likelihood.
        antithetic (`bool`, *optional*, defaults to `False`):
            Whether the noise samples are coupled in pairs, for a smaller error.
        cfg_scale (`float`, *optional*):
            The scale of classifier-free guidance for likelihoods (by default 0) and for decoding.
        check_greedy (`bool`, *optional*, defaults to `True`):
            Whether to check that greedy decoding, one token a step, gives the answer. Accuracies of multiple-choice
            tasks do not need this. Without the check, the result for answers of several tokens is `False`.
        seed (`int`, *optional*, defaults to 0):
            The seed of all noise.
        options:
            Decoding options, see [`LLaDAGenerationConfig`].

    Raises:
        `ValueError`: if an option is unknown or out of range. The weights are not loaded before.

    Example:

    ```python
    >>> from lm_eval import simple_evaluate
    >>> from lm_eval.tasks import TaskManager
    >>> from modeling_llada.evaluation import LLaDAHarnessLM

    >>> lm = LLaDAHarnessLM("checkpoints/llada-poet", num_samples=16)
    >>> tasks = TaskManager(include_path="tests/evaluation/harness_tasks", include_defaults=False)
    >>> results = simple_evaluate(lm, tasks=["poet_next_line_choice"], task_manager=tasks, limit=4)
    >>> results["results"]["poet_next_line_choice"]["acc,none"]
    1.0
    ```
    """

    def __init__(
        self,
        model: str | LLaDAForMaskedLM,
        peft: str | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | str = 16,
        num_samples: int = 128,
        antithetic: bool = False,
        cfg_scale: float | None = None,
        check_greedy: bool = True,
        seed: int = 0,
        **options,
    ) -> None:
        super().__init__()
        check_model(model, tokenizer, device, dtype)
        if not str(batch_size).isdigit():
            raise ValueError(f"`batch_size` must be a number of sequences, but got {batch_size!r}.")
        self.options = options if cfg_scale is None else {**options, "cfg_scale": cfg_scale}
        LLaDAGenerationConfig(**self.options)
        self.estimate = {"num_samples": num_samples, "batch_size": int(batch_size)}
        self.estimate |= {"antithetic": antithetic, "cfg_scale": cfg_scale or 0.0}
        check_samples(**self.estimate)
        self.check_greedy = check_greedy
        self.seed = seed
        self.accelerator = join_processes(device)
        if self.accelerator is not None:
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
            device = str(self.accelerator.device)
        if isinstance(model, str):
            model, tokenizer = load_checkpoint(model, device, dtype)
        self.model = model if peft is None else merge_adapter(model, peft).eval()
        self.tokenizer = tokenizer
        self._device = self.model.device

    # Properties and methods that the harness calls

    @property
    def batch_size(self) -> int:
        """The number of sequences in a forward pass."""
        return self.estimate["batch_size"]

    @property
    def max_length(self) -> int:
        """The largest number of tokens in a sequence."""
        return self.model.config.max_position_embeddings

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """The token in front of an answer without a question."""
        return self.eot_token_id if self.tokenizer.bos_token_id is None else self.tokenizer.bos_token_id

    @property
    def tokenizer_name(self) -> str:
        """The name of the tokenizer in the caches of the harness."""
        return self.tokenizer.name_or_path.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs) -> list[int]:
        """The tokens of a text. Special tokens are added, unless the text begins with BOS."""
        if add_special_tokens is None:
            bos_token = self.tokenizer.bos_token
            add_special_tokens = bos_token is None or not string.startswith(bos_token)
        return self.tokenizer(string, add_special_tokens=add_special_tokens)["input_ids"]

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The chat template of this name, or the default one for `True`. Without a chat template it is empty."""
        if chat_template is False:
            return ""
        return self.tokenizer.get_chat_template(None if chat_template is True else chat_template)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The text of a chat. Without a generation prompt, the last message is to be continued."""
        return self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def get_model_info(self) -> dict:
        """The description of the model that the harness writes with its results."""
        return {
            "model_num_parameters": self.model.num_parameters(),
            "model_dtype": str(self.model.dtype),
            "llada": {**self.estimate, **self.options, "check_greedy": self.check_greedy, "seed": self.seed},
        }

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes."""
        return tensor if self.accelerator is None else self.accelerator.gather(tensor)

    def gather_object(self, obj, dst: int = 0) -> list | None:
        """The objects of all processes, for the process `dst`."""
        if self.accelerator is None:
            return [obj]
        gathered = [None] * self.world_size if self.rank == dst else None
        torch.distributed.gather_object(obj, gathered, dst=dst)
        return gathered

    def barrier(self) -> None:
        """Waits for all processes."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()

    # Likelihood

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], disable_tqdm: bool = False, **kwargs
    ) -> list[tuple[float, bool]]:
        """Scores `((context, continuation), context_tokens, continuation_tokens)`."""
        results = [None] * len(requests)
        cropped = [self._crop(context, continuation) for _, context, continuation in requests]
        questions, others = defaultdict(list), []
        for index, (context, continuation) in enumerate(cropped):
            if len(continuation) == 1:
                questions[tuple(context)].append(index)
            elif continuation:
                others.append(index)
            else:
                results[index] = (0.0, True)  # an empty answer is certain

        with self._progress(requests, "scoring", disable_tqdm) as progress:

            def finish(index: int, result: tuple[float, bool]) -> None:
                results[index] = result
                self.cache_hook.add_partial("loglikelihood", requests[index][0], result)
                progress.update()

            for batch in batches([*questions], self.batch_size, length=len):
                for context, log_probs in zip(batch, self._next_token_log_probs(batch), strict=True):
                    for index in questions[context]:
                        token = cropped[index][1][0]
                        finish(index, (log_probs[token].item(), log_probs.argmax().item() == token))

            # `log_likelihood` repeats a row for each noise sample; with few samples, several rows fill a forward pass.
            rows = max(1, self.batch_size // self.estimate["num_samples"])
            for batch in batches(others, rows, length=lambda index: sum(map(len, cropped[index]))):
                for index, result in zip(batch, self._score([cropped[index] for index in batch]), strict=True):
                    finish(index, result)
        return results

    def _crop(self, context: list[int], continuation: list[int]) -> tuple[list[int], list[int]]:
        """Removes the start of a context that is too long."""
        room = self.max_length - len(continuation)
        if room < 0:
            raise ValueError(
                f"an answer of {len(continuation)} tokens does not fit into `max_position_embeddings={self.max_length}`. "
                "Leave out answers that are longer."
            )
        return context[max(0, len(context) - room) :], continuation

    @torch.no_grad()
    def _next_token_log_probs(self, contexts: list[tuple[int, ...]]) -> torch.FloatTensor:
        """Log-probabilities of the token after each context, `(len(contexts), vocab_size)`: eq. 6 with `L = l = 1`."""
        mask_token_id = self.model.config.mask_token_id
        input_ids, attention_mask = self._pad([[*context, mask_token_id] for context in contexts])
        given = torch.ones_like(input_ids, dtype=torch.bool)
        given[:, -1] = False
        logits = guided_logits(
            self.model,
            input_ids,
            given=given,
            mask_token_id=mask_token_id,
            cfg_scale=self.estimate["cfg_scale"],
            attention_mask=attention_mask,
            position_ids=None,
            logits_to_keep=~given,
        )
        return logits.log_softmax(-1).cpu()

    def _score(self, rows: list[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        """The log-likelihoods of continuations, and whether greedy decoding gives them."""
        input_ids, attention_mask = self._pad([context + continuation for context, continuation in rows])
        labels = input_ids.clone()
        for row, (_, continuation) in enumerate(rows):
            labels[row, : -len(continuation)] = -100
        generators = [content_generator(self.seed, "loglikelihood", *row) for row in rows]
        scores = self.model.log_likelihood(input_ids, labels, attention_mask, generator=generators, **self.estimate)
        greedy = self._is_greedy(labels, input_ids, attention_mask) if self.check_greedy else [False] * len(rows)
        return list(zip(scores.log_likelihood.tolist(), greedy, strict=True))

    def _is_greedy(
        self, labels: torch.LongTensor, input_ids: torch.LongTensor, attention_mask: torch.LongTensor
    ) -> list[bool]:
        """Whether greedy decoding, one token a step, gives the scored tokens. A row ends at its first other token."""
        mask_token_id, scored = self.model.config.mask_token_id, labels != -100

        def differs(tokens: torch.LongTensor, scores: torch.FloatTensor) -> torch.BoolTensor:
            return (scored & (tokens != mask_token_id) & (tokens != labels)).any(-1)

        # `None` overrides the generation config of the checkpoint.
        options = dict.fromkeys(vars(LLaDAGenerationConfig()))
        options |= {"max_new_tokens": 0, "cfg_scale": self.estimate["cfg_scale"], "pad_token_id": self.eot_token_id}
        filled = self.model.generate(
            input_ids.masked_fill(scored, mask_token_id), attention_mask, stopping_criteria=[differs], **options
        )
        return (~differs(filled, None)).tolist()

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Scores whole texts of any length, one by one."""
        results = []
        with self._progress(requests, "scoring texts", disable_tqdm) as progress:
            for request in requests:
                tokens = self.tok_encode(request.args[0], add_special_tokens=False)
                score = self._score_text(tokens) if tokens else 0.0
                self.cache_hook.add_partial("loglikelihood_rolling", request.args, score)
                results.append(score)
                progress.update()
        return results

    def _score_text(self, tokens: list[int]) -> float:
        output = self.model.rolling_log_likelihood(
            torch.tensor([tokens]),
            generator=content_generator(self.seed, "loglikelihood_rolling", tokens),
            **self.estimate,
        )
        return output.log_likelihood.item()

    # Decoding

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Completes prompts up to a stop string. A batch has prompts of similar length with the same options."""
        results, repeats, groups = [None] * len(requests), Counter(), defaultdict(list)
        jobs = []
        for index, request in enumerate(requests):
            context, options = request.args
            groups[json.dumps(options, sort_keys=True)].append(index)
            # The harness repeats a request to get several samples: each repetition has a seed of its own.
            jobs.append((self.tok_encode(context) or [self.prefix_token_id], repeats[id(request)]))
            repeats[id(request)] += 1
        # All of them before any work, since one may be wrong.
        options_of = {key: self._decoding_options(requests[group[0]].args[1]) for key, group in groups.items()}

        with self._progress(requests, "decoding", disable_tqdm) as progress:
            for key, group in groups.items():
                for batch in batches(group, self.batch_size, length=lambda index: len(jobs[index][0])):
                    texts = self._decode([jobs[index] for index in batch], *options_of[key])
                    for index, text in zip(batch, texts, strict=True):
                        results[index] = text
                        self.cache_hook.add_partial("generate_until", requests[index].args, text)
                        progress.update()
        return results

    def _decoding_options(self, asked: dict) -> tuple[dict, LLaDAGenerationConfig, list[str]]:
        """The options of `generate` for those of a task, the whole config of such a call, and the stop strings."""
        asked = normalize_gen_kwargs(asked, DEFAULT_MAX_GEN_TOKS)
        strings = [string for string in asked.pop("until") if string]
        asked["max_new_tokens"] = asked.pop("max_gen_toks")
        if "temperature" in asked:
            asked["temperature"] = float(asked["temperature"])
        if "temperature" in self.options:
            asked.pop("do_sample")
        options = {**asked, **self.options}
        config = self.model._merge_generation_config(None, dict(options))
        strings += [config.stop_strings] if isinstance(config.stop_strings, str) else config.stop_strings or []
        if config.max_new_tokens >= self.max_length:
            raise ValueError(
                f"`max_new_tokens` must leave room for a prompt in `max_position_embeddings={self.max_length}`, but got "
                f"{config.max_new_tokens}. Pass a smaller `max_new_tokens`, or change `max_gen_toks` of the task."
            )
        return options, config, strings

    def _decode(
        self, jobs: list[tuple[list[int], int]], options: dict, config: LLaDAGenerationConfig, strings: list[str]
    ) -> list[str]:
        """The answers to one batch of `(prompt_tokens, repetition)`."""
        room = self.max_length - config.max_new_tokens
        input_ids, attention_mask = self._pad([prompt[-room:] for prompt, _ in jobs])
        end_token_ids = end_tokens(config, "cpu").tolist() if config.stop_at_eos else []
        # An end token stops a row as its text would, without waiting for the end of the block.
        end_texts = filter(None, (self.tokenizer.decode([token_id]) for token_id in end_token_ids))
        sequences = self.model.generate(
            input_ids,
            attention_mask,
            generator=[content_generator(self.seed, "generate_until", *job) for job in jobs],
            tokenizer=self.tokenizer,
            **options | {"stop_strings": [*strings, *end_texts]},
        )
        prompt_length = input_ids.shape[1]
        return [cut_answer(self.tokenizer, row, prompt_length, strings, end_token_ids) for row in sequences.tolist()]

    # Helpers of likelihood and decoding

    def _pad(self, rows: list[list[int]]) -> tuple[torch.LongTensor, torch.LongTensor]:
        """The rows padded on the left to one length, and their attention mask."""
        rows = [torch.tensor(row) for row in rows]
        attention_mask = [torch.ones_like(row) for row in rows]
        padded = pad_sequence(rows, batch_first=True, padding_value=self.eot_token_id, padding_side="left")
        attention_mask = pad_sequence(attention_mask, batch_first=True, padding_side="left")
        return padded.to(self.device), attention_mask.to(self.device)

    def _progress(self, requests: list, name: str, disable: bool) -> tqdm:
        """The progress bar, which only the first process shows."""
        return tqdm(total=len(requests), desc=name, disable=disable or self.rank != 0)


def join_processes(device: str | None):
    """The `Accelerator` of a run with several processes, or `None`."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    # Processes wait for the slowest one, which may take hours.
    patient = InitProcessGroupKwargs(timeout=timedelta(weeks=1))
    # Without `cpu=True`, each process of a machine without GPU would run on its own.
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    return Accelerator(cpu=on_cpu, kwargs_handlers=[patient])


def check_model(
    model: str | LLaDAForMaskedLM, tokenizer: PreTrainedTokenizerBase | None, device: str | None, dtype: str | None
) -> None:
    """Raises a `ValueError` if an argument does not apply to a checkpoint, or to a loaded model."""
    if isinstance(model, str) and tokenizer is not None:
        raise ValueError("`tokenizer` is for a loaded `model`, since a checkpoint has its own. Leave it out.")
    if not isinstance(model, str) and (tokenizer is None or device is not None or dtype is not None):
        raise ValueError(
            "a loaded `model` needs a `tokenizer`, and takes neither `device` nor `dtype`. Move the model first, or pass "
            "the folder of the checkpoint."
        )


def batches(items: list, size: int, length: Callable[[object], int]) -> Iterator[list]:
    """Batches of similar length. The longest come first, so that a lack of memory shows at once."""
    items = sorted(items, key=length, reverse=True)
    for start in range(0, len(items), size):
        yield items[start : start + size]
