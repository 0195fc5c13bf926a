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
from .stop_strings import StopStrings, cut_answer


DEFAULT_MAX_GEN_TOKS = 256  # of the harness, for tasks that do not say


@register_model("llada")
class LLaDAHarnessLM(TemplateLM):
    r"""
    A LLaDA checkpoint as a model of lm-evaluation-harness.

    - `loglikelihood` estimates eq. 6 of the paper. An answer of one token takes one forward pass, which is exact, and
      which all one-token answers to a question share.
    - `loglikelihood_rolling` scores whole texts by sliding windows. No token is put in front of them.
    - `generate_until` decodes by diffusion, and ends a row at its first stop string, end of text or end of turn.

    The noise of a request is drawn from a seed that belongs to its tokens. So a result depends neither on the batch,
    nor on the order of the requests, nor on the number of processes. A decoding option that is given here wins over
    what a task says, and that over the checkpoint's generation_config.json.

    Args:
        model (`str` or [`LLaDAForMaskedLM`]):
            A folder or a Hub id, of a checkpoint or of a PEFT adapter; or a loaded model.
        peft (`str`, *optional*):
            An adapter to merge into it.
        tokenizer (`PreTrainedTokenizerBase`, *optional*):
            The tokenizer of a loaded model.
        device (`str`, *optional*):
            Where the model goes; by default to an accelerator if there is one. Under `accelerate launch` each process
            has its own.
        dtype (`str`, *optional*):
            Its dtype; by default float32 on the CPU and that of the checkpoint elsewhere.
        batch_size (`int`, *optional*, defaults to 16):
            Sequences in a forward pass.
        num_samples (`int`, *optional*, defaults to 128):
            Noise samples of a likelihood.
        antithetic (`bool`, *optional*, defaults to `False`):
            Couple the samples, for a smaller error.
        cfg_scale (`float`, *optional*):
            Scale of the classifier-free guidance, of likelihoods (0 by default) and of decoding.
        check_greedy (`bool`, *optional*, defaults to `True`):
            Whether to find out if greedy decoding, one token a step, gives the answer. Accuracies of
            multiple-choice tasks do not ask for it. `False` reports `False` for answers of several tokens.
        seed (`int`, *optional*, defaults to 0):
            Of all noise.
        options:
            Decoding options, see [`LLaDAGenerationConfig`].

    Raises:
        `ValueError`: if an option is unknown or out of its range, before the weights are read.

    Example:

    ```python
    >>> from lm_eval import simple_evaluate
    >>> from lm_eval.tasks import TaskManager
    >>> from modeling_llada.evaluation import LLaDAHarnessLM

    >>> lm = LLaDAHarnessLM("checkpoints/llada-poet", num_samples=16)
    >>> tasks = TaskManager(include_path="tests/harness_tasks", include_defaults=False)
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
        self.model, self.tokenizer = load(model, peft, tokenizer, device, dtype)
        self._device = self.model.device

    # What the harness asks a model for

    @property
    def batch_size(self) -> int:
        """Sequences in a forward pass."""
        return self.estimate["batch_size"]

    @property
    def max_length(self) -> int:
        """Tokens of the context."""
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
        """For the names of the caches of the harness."""
        return self.tokenizer.name_or_path.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs) -> list[int]:
        """The tokens of a text. The special tokens of the tokenizer are added, unless the text has the first itself."""
        if add_special_tokens is None:
            bos_token = self.tokenizer.bos_token
            add_special_tokens = bos_token is None or not string.startswith(bos_token)
        return self.tokenizer(string, add_special_tokens=add_special_tokens)["input_ids"]

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The chat template, or the one of that name; empty where none is asked for."""
        if chat_template is False:
            return ""
        return self.tokenizer.get_chat_template(None if chat_template is True else chat_template)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The text of a chat; an unfinished last message is continued without a generation prompt."""
        return self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def get_model_info(self) -> dict:
        """What the harness writes beside its results."""
        return {
            "model_num_parameters": self.model.num_parameters(),
            "model_dtype": str(self.model.dtype),
            "llada": {**self.estimate, **self.options, "check_greedy": self.check_greedy, "seed": self.seed},
        }

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes, `(world_size, ...)`."""
        return tensor if self.accelerator is None else self.accelerator.gather(tensor)

    def gather_object(self, obj, dst: int = 0) -> list | None:
        """The objects of all processes, in one of them."""
        if self.accelerator is None:
            return [obj]
        gathered = [None] * self.world_size if self.rank == dst else None
        torch.distributed.gather_object(obj, gathered, dst=dst)
        return gathered

    def barrier(self) -> None:
        """Waits for the other processes."""
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
                results[index] = (0.0, True)  # nothing is certain

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

            # Several short jobs share a forward pass, as many as `log_likelihood` would put there.
            rows = max(1, self.batch_size // self.estimate["num_samples"])
            for batch in batches(others, rows, length=lambda index: sum(map(len, cropped[index]))):
                for index, result in zip(batch, self._score([cropped[index] for index in batch]), strict=True):
                    finish(index, result)
        return results

    def _crop(self, context: list[int], continuation: list[int]) -> tuple[list[int], list[int]]:
        """Drops the start of a context that is too long."""
        room = self.max_length - len(continuation)
        if room < 0:
            raise ValueError(
                f"An answer of {len(continuation)} tokens does not fit into `max_position_embeddings={self.max_length}`."
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
        """Estimates the log-likelihoods of continuations, and says whether greedy decoding gives them."""
        input_ids, attention_mask = self._pad([context + continuation for context, continuation in rows])
        labels = input_ids.clone()
        for row, (_, continuation) in enumerate(rows):
            labels[row, : -len(continuation)] = -100
        generators = [self._generator("loglikelihood", *row) for row in rows]
        scores = self.model.log_likelihood(input_ids, labels, attention_mask, generator=generators, **self.estimate)
        greedy = self._is_greedy(labels, input_ids, attention_mask) if self.check_greedy else [False] * len(rows)
        return list(zip(scores.log_likelihood.tolist(), greedy, strict=True))

    def _is_greedy(
        self, labels: torch.LongTensor, input_ids: torch.LongTensor, attention_mask: torch.LongTensor
    ) -> list[bool]:
        """Whether filling the scored tokens greedily, one a step, gives them; a row ends at its first other token."""
        mask_token_id, scored = self.model.config.mask_token_id, labels != -100

        def differs(tokens: torch.LongTensor, scores: torch.FloatTensor) -> torch.BoolTensor:
            return (scored & (tokens != mask_token_id) & (tokens != labels)).any(-1)

        # `None` resets what the checkpoint's generation config says.
        options = dict.fromkeys(vars(LLaDAGenerationConfig()))
        options |= {"max_new_tokens": 0, "cfg_scale": self.estimate["cfg_scale"], "pad_token_id": self.eot_token_id}
        filled = self.model.generate(
            input_ids.masked_fill(scored, mask_token_id), attention_mask, stopping_criteria=[differs], **options
        )
        return (~differs(filled, None)).tolist()

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Scores whole texts of any length, one after the other."""
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
            torch.tensor([tokens]), generator=self._generator("loglikelihood_rolling", tokens), **self.estimate
        )
        return output.log_likelihood.item()

    # Decoding

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Completes prompts up to a stop string, those with the same options in batches of a similar length."""
        results, repeats, groups = [None] * len(requests), Counter(), defaultdict(list)
        jobs = []
        for index, request in enumerate(requests):
            context, options = request.args
            groups[json.dumps(options, sort_keys=True)].append(index)
            # The harness repeats a request for several samples; its n-th repetition has a seed of its own.
            jobs.append((self.tok_encode(context), repeats[id(request)]))
            repeats[id(request)] += 1

        with self._progress(requests, "decoding", disable_tqdm) as progress:
            for group in groups.values():
                options, strings = self._decoding_options(requests[group[0]].args[1])
                for batch in batches(group, self.batch_size, length=lambda index: len(jobs[index][0])):
                    texts = self._decode([jobs[index] for index in batch], options, strings)
                    for index, text in zip(batch, texts, strict=True):
                        results[index] = text
                        self.cache_hook.add_partial("generate_until", requests[index].args, text)
                        progress.update()
        return results

    def _decoding_options(self, asked: dict) -> tuple[dict, list[str]]:
        """The options of `generate` for what a task asks, and its stop strings."""
        asked = dict(asked)
        strings = asked.pop("until", None) or []
        length = asked.pop("max_gen_toks", None)
        asked.setdefault("max_new_tokens", DEFAULT_MAX_GEN_TOKS if length is None else length)
        if not asked.get("do_sample"):
            asked["temperature"] = 0.0
        if "temperature" in self.options:
            asked.pop("do_sample", None)
        return {**asked, **self.options}, [strings] if isinstance(strings, str) else [one for one in strings if one]

    def _decode(self, jobs: list[tuple[list[int], int]], options: dict, strings: list[str]) -> list[str]:
        """Decodes one batch of `(prompt_tokens, repetition)`."""
        config = self.model._merge_generation_config(None, dict(options))
        room = self.max_length - config.max_new_tokens
        if room < 1:
            raise ValueError(
                f"`max_new_tokens` must leave room for a prompt in `max_position_embeddings={self.max_length}` tokens, "
                f"but got {config.max_new_tokens}. Shorten the answers with `max_new_tokens` or the task's `max_gen_toks`."
            )
        input_ids, attention_mask = self._pad([prompt[-room:] for prompt, _ in jobs])
        end_token_ids = end_tokens(config, "cpu").tolist() if config.stop_at_eos else []
        prompt_length = input_ids.shape[1]
        stop_strings = StopStrings(self.tokenizer, strings, end_token_ids, config.mask_token_id, prompt_length)
        sequences = self.model.generate(
            input_ids,
            attention_mask,
            stopping_criteria=[stop_strings],
            generator=[self._generator("generate_until", *job) for job in jobs],
            **options,
        )
        answers = sequences[:, prompt_length:].tolist()
        return [cut_answer(self.tokenizer, answer, strings, end_token_ids) for answer in answers]

    # What they share

    def _generator(self, *content) -> torch.Generator:
        """The generator of a request, which follows from its content alone."""
        return content_generator(self.seed, *content)

    def _pad(self, rows: list[list[int]]) -> tuple[torch.LongTensor, torch.LongTensor]:
        """Rows padded on the left to one length, on the model's device, and their attention mask."""
        rows = [torch.tensor(row) for row in rows]
        attention_mask = [torch.ones_like(row) for row in rows]
        padded = pad_sequence(rows, batch_first=True, padding_value=self.eot_token_id, padding_side="left")
        attention_mask = pad_sequence(attention_mask, batch_first=True, padding_side="left")
        return padded.to(self.device), attention_mask.to(self.device)

    def _progress(self, requests: list, name: str, disable: bool) -> tqdm:
        """A progress bar in the first process."""
        return tqdm(total=len(requests), desc=name, disable=disable or self.rank != 0)


def join_processes(device: str | None):
    """The `Accelerator` of a run of several processes, else `None`."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    # A process that is done waits for the slowest, which may take hours.
    patient = InitProcessGroupKwargs(timeout=timedelta(weeks=1))
    # Without `cpu`, it takes the processes of a machine that has no GPU for single ones.
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    return Accelerator(cpu=on_cpu, kwargs_handlers=[patient])


def check_model(
    model: str | LLaDAForMaskedLM, tokenizer: PreTrainedTokenizerBase | None, device: str | None, dtype: str | None
) -> None:
    """A checkpoint has a tokenizer, a loaded model has a device and a dtype."""
    if isinstance(model, str) and tokenizer is not None:
        raise ValueError("`tokenizer` is for a loaded `model`: a checkpoint has its own, so leave it out.")
    if not isinstance(model, str) and (tokenizer is None or device is not None or dtype is not None):
        raise ValueError(
            "A loaded `model` needs a `tokenizer`, and takes neither `device` nor `dtype`: move it before, or give the "
            "folder of the checkpoint."
        )


def load(
    model: str | LLaDAForMaskedLM,
    peft: str | None,
    tokenizer: PreTrainedTokenizerBase | None,
    device: str | None,
    dtype: str | None,
) -> tuple[LLaDAForMaskedLM, PreTrainedTokenizerBase]:
    """The model, with the adapter merged into it, and its tokenizer."""
    if isinstance(model, str):
        model, tokenizer = load_checkpoint(model, device, dtype)
    return (model if peft is None else merge_adapter(model, peft).eval()), tokenizer


def batches(items: list, size: int, length: Callable[[object], int]) -> Iterator[list]:
    """Batches of a similar length, the longest first: what does not fit into the memory fails at once."""
    items = sorted(items, key=length, reverse=True)
    for start in range(0, len(items), size):
        yield items[start : start + size]
