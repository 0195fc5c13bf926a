# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Sampling from a Llama with thousands of rows at once, by one recorded step.

Every step feeds one token to every row: the next one of its prompt, or the one that was sampled. So no prompt is computed apart, all
shapes are static, and on a GPU the step is one CUDA graph. A row that has finished is taken out, and begins another prompt.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb


WARM_UPS = 3  # steps before the recording


@dataclass
class Sample:
    """A finished row: its number, the tokens after its prompt, without EOS, their log-likelihood, and whether it has ended."""

    number: int
    tokens: list[int]
    log_likelihood: list[float]  # of the model itself, at temperature 1
    has_ended: bool


class RowSampler:
    """
    Samples continuations of prompts.

    Args:
        model ([`LlamaForCausalLM`]): the model, on its device, in its precision.
        rows (`int`): rows that are computed at once.
        length (`int`): the most tokens of a prompt and its continuation, and the size of the cache.
        temperature (`float`): 0 takes the most likely token.
        min_p (`float`): tokens are not sampled whose probability is below this part of that of the most likely one.
        presence_penalty (`float`): is taken from the logits of tokens that were sampled in the row before, and are not in its
            prompt.
        eos_token_id (`int`): the token that ends a row.
        steps_a_look (`int`, *optional*, defaults to 16): steps after which finished rows are replaced.
    """

    def __init__(
        self,
        model: LlamaForCausalLM,
        rows: int,
        length: int,
        temperature: float,
        min_p: float,
        presence_penalty: float,
        eos_token_id: int,
        steps_a_look: int = 16,
    ):
        self.model, self.rows, self.length, self.steps_a_look = model.eval(), rows, length, steps_a_look
        self.temperature, self.min_p, self.presence_penalty = temperature, min_p, presence_penalty
        self.eos_token_id = eos_token_id
        config, device = model.config, model.device
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        shape = (config.num_hidden_layers, rows, self.key_heads, length, model.model.layers[0].self_attn.head_dim)
        self.keys, self.values = (torch.zeros(shape, dtype=model.dtype, device=device) for _ in range(2))
        self.tokens = torch.zeros(rows, length, dtype=torch.long, device=device)
        self.log_likelihood = torch.zeros(rows, length, device=device)
        self.prompt_lengths = torch.ones(rows, dtype=torch.long, device=device)
        self.places = torch.zeros(rows, dtype=torch.long, device=device)  # of the token that is fed next
        self.done = torch.ones(rows, dtype=torch.bool, device=device)
        self.columns = torch.arange(length, device=device)
        # Not the frequencies of the model, which are rounded with its weights: place 200 would be off by 0.3 rad in bfloat16.
        probe = torch.empty(1, dtype=model.dtype, device=device)
        rotary = LlamaRotaryEmbedding(config).to(device)
        self.cos, self.sin = (table[0] for table in rotary(probe, self.columns[None]))
        self._numbers = [-1] * rows
        self._step = self._record() if device.type == "cuda" else self.step

    @torch.no_grad()
    def sample(self, prompts: Iterable[list[int]]) -> Iterator[Sample]:
        """The continuations of prompts, in the order in which they finish. `number` counts the prompts from 0."""
        waiting = enumerate(prompts)
        self.done.fill_(True)
        self._numbers = [-1] * self.rows
        while True:
            yield from self._replace(waiting)
            if all(number < 0 for number in self._numbers):
                return
            for _ in range(self.steps_a_look):
                self._step()

    def _replace(self, waiting: Iterator[tuple[int, list[int]]]) -> Iterator[Sample]:
        """Takes out the rows that have finished, and begins other prompts in them."""
        finished = self.done.nonzero().flatten()
        if not len(finished):
            return
        # Row by row in NumPy, because each operation of PyTorch lets another thread, such as a filter, go first.
        tokens, log_likelihood = (values[finished].cpu().numpy() for values in (self.tokens, self.log_likelihood))
        places, starts = self.places[finished].tolist(), self.prompt_lengths[finished].tolist()
        texts, lengths, begun = np.zeros_like(tokens), [], []
        for index, row in enumerate(finished.tolist()):
            if self._numbers[row] >= 0:
                yield self._taken_out(row, tokens[index], log_likelihood[index], starts[index], places[index])
            self._numbers[row], prompt = next(waiting, (-1, [0]))
            if len(prompt) >= self.length:
                raise ValueError(
                    f"`length` must be more than the tokens of a prompt, {len(prompt)}, but got {self.length}."
                )
            texts[index, : len(prompt)] = prompt
            lengths.append(len(prompt))
            begun.append(self._numbers[row] >= 0)
        device = self.tokens.device
        self.tokens[finished] = torch.from_numpy(texts).to(device)
        self.prompt_lengths[finished] = torch.tensor(lengths, device=device)
        self.places[finished], self.done[finished] = 0, ~torch.tensor(begun, device=device)

    def _taken_out(self, row: int, tokens: np.ndarray, scores: np.ndarray, start: int, last: int) -> Sample:
        found, scores = tokens[start : last + 1].tolist(), scores[start : last + 1].tolist()
        has_ended = found[-1:] == [self.eos_token_id]
        stop = len(found) - has_ended
        return Sample(self._numbers[row], found[:stop], scores[:stop], has_ended)

    def step(self) -> None:
        """Feeds a token to each row, and writes the next one. Rows that are done stay as they are."""
        logits = self._logits(self.tokens.gather(1, self.places[:, None]), self.places).float()
        following = (self.places + 1).clamp(max=self.length - 1)[:, None]
        given = self.tokens.gather(1, following)
        is_given = following < self.prompt_lengths[:, None]
        proposed = torch.where(is_given, given, self._draw(logits)[:, None])
        score = logits.log_softmax(-1).gather(1, proposed)
        is_done = self.done[:, None]
        self.tokens.scatter_(1, following, torch.where(is_done, given, proposed))
        kept = self.log_likelihood.gather(1, following)
        self.log_likelihood.scatter_(1, following, torch.where(is_done, kept, score))
        self.places.copy_(torch.where(self.done, self.places, following[:, 0]))
        has_ended = ~is_given & ((proposed == self.eos_token_id) | (following == self.length - 1))
        self.done.logical_or_(has_ended[:, 0])

    def _draw(self, logits: torch.FloatTensor) -> torch.LongTensor:
        if self.presence_penalty:
            # Those of the prompt, such as names, are free. What is behind the place is still 0.
            prompt = self.tokens.masked_fill(self.columns >= self.prompt_lengths[:, None], 0)
            penalty = torch.zeros_like(logits).scatter_(1, self.tokens, self.presence_penalty)
            logits = logits - penalty.scatter_(1, prompt, 0.0)
        if self.temperature == 0:
            return logits.argmax(-1)
        least = logits.amax(-1, keepdim=True) + math.log(self.min_p)
        allowed = (logits / self.temperature).masked_fill(logits < least, -torch.inf)
        # The Gumbel-max trick: the argmax of p / e with exponential e is a sample of p.
        noise = torch.empty_like(allowed).exponential_().clamp_(min=1e-20)
        return (allowed - noise.log()).argmax(-1)

    def _logits(self, tokens: torch.LongTensor, places: torch.LongTensor) -> torch.Tensor:
        """The logits of the token after each place, `(rows, vocab_size)`. Keys and values of the place are written."""
        visible = (self.columns <= places[:, None])[:, None, None]
        rotation = self.cos[places][:, None], self.sin[places][:, None]
        hidden = self.model.model.embed_tokens(tokens)
        for number, layer in enumerate(self.model.model.layers):
            hidden = hidden + self._attend(
                number, layer.self_attn, layer.input_layernorm(hidden), places, rotation, visible
            )
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        return self.model.lm_head(self.model.model.norm(hidden))[:, 0]

    def _attend(self, number: int, attention, hidden: torch.Tensor, places: torch.LongTensor, rotation, visible):
        def heads(projection):
            return projection(hidden).view(self.rows, 1, -1, attention.head_dim).transpose(1, 2)

        queries, keys = apply_rotary_pos_emb(heads(attention.q_proj), heads(attention.k_proj), *rotation)
        where = places[:, None, None, None].expand_as(keys)
        cached_keys = self.keys[number].scatter_(2, where, keys)
        cached_values = self.values[number].scatter_(2, where, heads(attention.v_proj))
        # The queries that share a key stand where a sequence has its positions, so that keys are not repeated.
        queries = queries.reshape(self.rows, self.key_heads, self.heads // self.key_heads, -1)
        mixed = F.scaled_dot_product_attention(
            queries, cached_keys, cached_values, attn_mask=visible.expand(-1, self.key_heads, queries.shape[2], -1)
        )
        return attention.o_proj(mixed.reshape(self.rows, 1, -1))

    @torch.no_grad()
    def _record(self):
        """One CUDA graph of the step. All rows are done meanwhile, so that it changes nothing."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self.step()
        return self._graph.replay
