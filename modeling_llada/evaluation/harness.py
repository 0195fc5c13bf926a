# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDA as a model of lm-evaluation-harness, under the name `llada`."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, ProcessorMixin

from ..loading import load_with_processor, merge_adapter, tokenizer_of
from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.guidance_llada import guided_logits
from ..models.likelihood_llada import check_samples
from ..models.modeling_llada import LLaDAForMaskedLM
from ..seeds import content_generator
from ..serving import BatchedDecoder
from .choices import ChoicesMixin, find_questions
from .harness_prompts import (
    Completion,
    Prompt,
    add_to_question,
    batches,
    estimate_length,
    images_of,
    make_prompt,
    with_image_parts,
)
from .processes import join_processes
from .stop_strings import cut_answer


DEFAULT_MAX_GEN_TOKS = 256  # the default of the harness


@register_model("llada")
class LLaDAHarnessLM(ChoicesMixin, TemplateLM):
    r"""
    A LLaDA checkpoint as a model of lm-evaluation-harness.

    - `loglikelihood` estimates eq. 6 of the paper. Answers of one token are exact: they take one forward pass for all
      answers to the same question.
    - `loglikelihood_rolling` scores whole texts with sliding windows, without a token in front of them.
    - `generate_until` decodes by diffusion. A row ends at its first stop string, end of text or end of turn.
    - A LLaDA-V checkpoint runs tasks with images (`doc_to_image`), and tasks without them.

    The tokens of a request, and its images, determine the seed of its noise, so results do not depend on the batch, the order
    of the requests or the number of processes. Decoding options of this class override those of a task, which mean what they
    mean for other models of the harness, and override generation_config.json of the checkpoint.

    Args:
        model (`str` or [`LLaDAForMaskedLM`]):
            The folder or Hub id of a checkpoint or a PEFT adapter, or a loaded model.
        peft (`str`, *optional*):
            The folder or Hub id of an adapter to merge into the model.
        tokenizer (`PreTrainedTokenizerBase` or [`LLaDAVProcessor`], *optional*):
            The tokenizer of a loaded model, or its processor if it sees images.
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
        decode_choices (`bool`, *optional*, defaults to `False`):
            Whether a question with several choices is answered by decoding one of them, see `generate(constraint=...)`, in
            the place of the likelihood of each. The harness gets the log-likelihood 0 for it, and -100 for the others.
        seed (`int`, *optional*, defaults to 0):
            The seed of all noise.
        prompt_suffix (`str`, *optional*, defaults to `""`):
            What follows the question in a chat, such as `" /no_think"`.
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
        tokenizer: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | str = 16,
        num_samples: int = 128,
        antithetic: bool = False,
        cfg_scale: float | None = None,
        check_greedy: bool = True,
        decode_choices: bool = False,
        seed: int = 0,
        prompt_suffix: str = "",
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
        if self.options.get("cfg_text_only"):
            self.estimate["cfg_text_only"] = True
        self.check_greedy, self.decode_choices = check_greedy, decode_choices
        self.seed = seed
        self.prompt_suffix = prompt_suffix
        self.accelerator = join_processes(device)
        if self.accelerator is not None:
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
            device = str(self.accelerator.device)
        if isinstance(model, str):
            model, tokenizer = load_with_processor(model, device, dtype)
        self.model = model if peft is None else merge_adapter(model, peft).eval()
        self.processor = tokenizer if isinstance(tokenizer, ProcessorMixin) else None
        self.tokenizer = tokenizer_of(tokenizer)
        self.MULTIMODAL = self.processor is not None  # the harness asks for it
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
        if self.processor is not None and chat_template is True:
            return self.processor.chat_template
        return self.tokenizer.get_chat_template(None if chat_template is True else chat_template)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The text of a chat. Without a generation prompt, the last message is to be continued."""
        if self.prompt_suffix:
            chat_history = add_to_question(chat_history, self.prompt_suffix)
        if self.processor is not None:
            chat_history = with_image_parts(chat_history, self.processor.image_token)
        return self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            chat_template=self.chat_template(True),
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def get_model_info(self) -> dict:
        """The description of the model that the harness writes with its results."""
        options = {**self.estimate, **self.options, "check_greedy": self.check_greedy, "seed": self.seed}
        if self.decode_choices:
            options["decode_choices"] = True
        if self.prompt_suffix:
            options["prompt_suffix"] = self.prompt_suffix
        return {
            "model_num_parameters": self.model.num_parameters(),
            "model_dtype": str(self.model.dtype),
            "llada": options,
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

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """The log-likelihoods of continuations, and whether greedy decoding gives them."""
        rows = []
        for request in requests:
            context, continuation = request.args[:2]
            # The harness also asks for the probability of a choice without its question, and then means no image either.
            images = images_of(request) if context else []
            context, continuation = self._encode_request(context, continuation)
            context = self._prompt(context, images, request)
            rows.append((request.args, context, self._prompt(continuation, [], request).tokens))
        chosen = self._choose(find_questions(requests, rows), rows, disable_tqdm) if self.decode_choices else {}
        others = [index for index in range(len(rows)) if index not in chosen]
        scores = self._loglikelihood_tokens([rows[index] for index in others], disable_tqdm) if others else []
        results = chosen | dict(zip(others, scores, strict=True))
        return [results[index] for index in range(len(rows))]

    def _encode_request(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """The tokens of both. A continuation without a context follows the first token of a text."""
        if context:
            return self._encode_pair(context, continuation)
        tokens = self.tok_encode(continuation, add_special_tokens=False)
        if tokens[:1] == [self.prefix_token_id]:
            return tokens[:1], tokens[1:]
        return [self.prefix_token_id], tokens

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple, Prompt, list[int]]], disable_tqdm: bool = False, **kwargs
    ) -> list[tuple[float, bool]]:
        """Scores `(arguments, context, continuation_tokens)`."""
        results = [None] * len(requests)
        rows = [self._crop(context, continuation) for _, context, continuation in requests]
        questions, others = defaultdict(list), []
        for index, (context, continuation) in enumerate(rows):
            if len(continuation) == 1:
                questions[context.key].append(index)
            elif continuation:
                others.append(index)
            else:
                results[index] = (0.0, True)  # an empty answer is certain

        def length_of(index: int) -> int:
            context, continuation = rows[index]
            return estimate_length(context, self.processor) + len(continuation)

        with self._progress(requests, "scoring", disable_tqdm) as progress:

            def finish(index: int, result: tuple[float, bool]) -> None:
                results[index] = result
                self.cache_hook.add_partial("loglikelihood", requests[index][0], result)
                progress.update()

            for batch in batches([*questions.values()], self.batch_size, length=lambda same: length_of(same[0])):
                contexts = [rows[same[0]][0] for same in batch]
                for same, log_probs in zip(batch, self._next_token_log_probs(contexts), strict=True):
                    for index in same:
                        token = rows[index][1][0]
                        finish(index, (log_probs[token].item(), log_probs.argmax().item() == token))

            # `log_likelihood` repeats a row for each noise sample; with few samples, several rows fill a forward pass.
            num_rows = max(1, self.batch_size // self.estimate["num_samples"])
            for batch in batches(others, num_rows, length=length_of):
                for index, result in zip(batch, self._score([rows[index] for index in batch]), strict=True):
                    finish(index, result)
        return results

    def _crop(self, context: Prompt, continuation: list[int]) -> tuple[Prompt, list[int]]:
        """Removes the start of a context that is too long."""
        room = self.max_length - len(continuation)
        if room < 0:
            raise ValueError(
                f"an answer of {len(continuation)} tokens does not fit into `max_position_embeddings={self.max_length}`. "
                "Leave out answers that are longer."
            )
        return context.crop(room), continuation

    @torch.no_grad()
    def _next_token_log_probs(self, contexts: list[Prompt]) -> torch.FloatTensor:
        """Log-probabilities of the token after each context, `(len(contexts), vocab_size)`: eq. 6 with `L = l = 1`."""
        mask_token_id = self.model.config.mask_token_id
        inputs = self._inputs(contexts, [[mask_token_id]] * len(contexts))
        input_ids, attention_mask = inputs.pop("input_ids"), inputs.pop("attention_mask")
        is_answer = torch.zeros_like(input_ids, dtype=torch.bool)
        is_answer[:, -1] = True
        embeddings = self.model.embed_given(input_ids, inputs)
        is_kept = self.estimate.get("cfg_text_only", False) and embeddings is not None
        logits = guided_logits(
            self.model,
            input_ids,
            given=~is_answer & ~embeddings.where if is_kept else ~is_answer,
            mask_token_id=mask_token_id,
            cfg_scale=self.estimate["cfg_scale"],
            attention_mask=attention_mask,
            position_ids=None,
            logits_to_keep=is_answer,
            embeddings=embeddings,
            block_length=self.model.length_of_blocks(),
        )
        return logits.log_softmax(-1).cpu()

    def _score(self, rows: list[tuple[Prompt, list[int]]]) -> list[tuple[float, bool]]:
        """The log-likelihoods of continuations, and whether greedy decoding gives them."""
        inputs = self._inputs(*zip(*rows, strict=True))
        labels = inputs["input_ids"].clone()
        for row, (_, continuation) in enumerate(rows):
            labels[row, : -len(continuation)] = -100
        generators = [
            content_generator(self.seed, "loglikelihood", context.tokens, continuation, *context.marks)
            for context, continuation in rows
        ]
        scores = self.model.log_likelihood(**inputs, labels=labels, generator=generators, **self.estimate)
        greedy = self._is_greedy(labels, inputs) if self.check_greedy else [False] * len(rows)
        return list(zip(scores.log_likelihood.tolist(), greedy, strict=True))

    def _is_greedy(self, labels: torch.LongTensor, inputs: dict[str, torch.Tensor]) -> list[bool]:
        """Whether greedy decoding, one token a step, gives the scored tokens. A row ends at its first other token."""
        mask_token_id, scored = self.model.config.mask_token_id, labels != -100

        def differs(tokens: torch.LongTensor, scores: torch.FloatTensor) -> torch.BoolTensor:
            return (scored & (tokens != mask_token_id) & (tokens != labels)).any(-1)

        # `None` overrides the generation config of the checkpoint.
        options = dict.fromkeys(vars(LLaDAGenerationConfig()))
        options |= {name: self.estimate[name] for name in ("cfg_scale", "cfg_text_only") if name in self.estimate}
        options |= {"max_new_tokens": 0, "pad_token_id": self.eot_token_id}
        options |= {"block_length": self.model.length_of_blocks()}
        masked = inputs | {"input_ids": inputs["input_ids"].masked_fill(scored, mask_token_id)}
        filled = self.model.generate(**masked, stopping_criteria=[differs], **options)
        return (~differs(filled, None)).tolist()

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Scores whole texts of any length, one by one."""
        results = []
        with self._progress(requests, "scoring texts", disable_tqdm) as progress:
            for request in requests:
                tokens = self.tok_encode(request.args[0], add_special_tokens=False)
                text = self._prompt(tokens, images_of(request), request)
                score = self._score_text(text) if tokens else 0.0
                self.cache_hook.add_partial("loglikelihood_rolling", request.args, score)
                results.append(score)
                progress.update()
        return results

    def _score_text(self, text: Prompt) -> float:
        output = self.model.rolling_log_likelihood(
            **self._inputs([text]),
            generator=content_generator(self.seed, "loglikelihood_rolling", text.tokens, *text.marks),
            **self.estimate,
        )
        return output.log_likelihood.item()

    # Decoding

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Completes prompts up to a stop string."""
        results, repeats, options_of, jobs = [None] * len(requests), Counter(), {}, []
        for request in requests:  # all of them before any work, since one may be wrong
            key = json.dumps(request.args[1], sort_keys=True)
            if key not in options_of:
                options_of[key] = self._decoding_options(request.args[1])
            tokens = self.tok_encode(request.args[0]) or [self.prefix_token_id]
            prompt = self._prompt(tokens, images_of(request), request)
            # The harness repeats a request to get several samples: each repetition has a seed of its own.
            content = prompt.tokens, repeats[id(request)], *prompt.marks
            repeats[id(request)] += 1
            jobs.append(Completion(prompt, content_generator(self.seed, "generate_until", *content), *options_of[key]))

        with self._progress(requests, "decoding", disable_tqdm) as progress:
            for index, text in self._complete(jobs):
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

    def _complete(self, jobs: list[Completion]) -> Iterator[tuple[int, str]]:
        """The number and the text of each job when it is finished. Where it can, one joins the batch as another leaves it."""
        # Similar lengths stand together. The longest come first, so that a lack of memory shows at once.
        order = sorted(range(len(jobs)), key=lambda index: -estimate_length(jobs[index].prompt, self.processor))
        joining = [index for index in order if jobs[index].can_join]
        with BatchedDecoder(self.model, self.tokenizer, batch_size=self.batch_size) as decoder:
            for answer in decoder.generate((self._call([jobs[index]]) for index in joining), ordered=False):
                if answer.error is not None:
                    raise answer.error
                index = joining[answer.index]
                yield index, self._text(jobs[index], answer.output.sequences[0])
        groups = defaultdict(list)
        for index in order:
            if not jobs[index].can_join:
                groups[id(jobs[index].options)].append(index)
        for group in groups.values():
            for start in range(0, len(group), self.batch_size):
                batch = group[start : start + self.batch_size]
                sequences = self.model.generate(**self._call([jobs[index] for index in batch]))
                yield from ((index, self._text(jobs[index], row)) for index, row in zip(batch, sequences, strict=True))

    def _call(self, jobs: list[Completion]) -> dict:
        """The arguments of `generate` for jobs with the same options."""
        config, options = jobs[0].config, jobs[0].options
        # An end token stops a row as its text would, without waiting for the end of the block.
        end_texts = filter(None, (self.tokenizer.decode([token_id]) for token_id in jobs[0].end_token_ids))
        return {
            **self._inputs([job.prompt.crop(self.max_length - config.max_new_tokens) for job in jobs]),
            "generator": [job.generator for job in jobs],
            "tokenizer": self.tokenizer,
            **options,
            "stop_strings": [*jobs[0].strings, *end_texts],
        }

    def _text(self, job: Completion, row: torch.LongTensor) -> str:
        """The answer in a row."""
        prompt_length = len(row) - job.config.max_new_tokens
        return cut_answer(self.tokenizer, row.tolist(), prompt_length, job.strings, job.end_token_ids)

    # Helpers of likelihood and decoding

    def _prompt(self, tokens: list[int], images: list, request: Instance) -> Prompt:
        """The tokens of a request with its images."""
        context = request.args[0]
        if context and self.prompt_suffix.strip() not in context:
            raise ValueError(
                f"`prompt_suffix={self.prompt_suffix!r}` follows the question in a chat, but prompts are no chats. Set "
                "`apply_chat_template=True` (`--chat-template`)."
            )
        return make_prompt(tokens, images, self.processor, request.task_name)

    def _inputs(self, prompts: list[Prompt], answers: list[list[int]] | None = None) -> dict[str, torch.Tensor]:
        """What the model takes: prompts, each with an answer behind it, padded on the left to one length, and their images."""
        rows, images = [prompt.tokens for prompt in prompts], {}
        if any(prompt.images for prompt in prompts):
            images = self.processor.image_processor([prompt.images for prompt in prompts], return_tensors="pt")
            rows = self.processor.repeat_image_tokens(rows, images["image_sizes"], images["num_tiles"])
        if answers is not None:
            rows = [prompt + answer for prompt, answer in zip(rows, answers, strict=True)]
        rows = [torch.tensor(row) for row in rows]
        padded = pad_sequence(rows, batch_first=True, padding_value=self.eot_token_id, padding_side="left")
        attention_mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side="left")
        return {"input_ids": padded.to(self.device), "attention_mask": attention_mask.to(self.device), **images}

    def _progress(self, requests: list, name: str, disable: bool) -> tqdm:
        """The progress bar, which only the first process shows."""
        return tqdm(total=len(requests), desc=name, disable=disable or self.rank != 0)


def check_model(
    model: str | LLaDAForMaskedLM,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin | None,
    device: str | None,
    dtype: str | None,
) -> None:
    """Raises a `ValueError` if an argument does not apply to a checkpoint, or to a loaded model."""
    if isinstance(model, str) and tokenizer is not None:
        raise ValueError("`tokenizer` is for a loaded `model`, since a checkpoint has its own. Leave it out.")
    if not isinstance(model, str) and (tokenizer is None or device is not None or dtype is not None):
        raise ValueError(
            "a loaded `model` needs a `tokenizer`, and takes neither `device` nor `dtype`. Move the model first, or pass "
            "the folder of the checkpoint."
        )
