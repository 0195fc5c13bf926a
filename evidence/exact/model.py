# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A mask predictor that is never wrong: the conditional probabilities of a hidden Markov model in the place of a network.

The states are a Markov chain, and each token depends on the state at its position alone. So the probability of a text, and of a
token given any others, follow from sums over the states (the forward-backward algorithm). Whatever a sampler gets wrong with
these predictions is its own error. `generate` and `log_likelihood` run on it as they run on a network.
"""

from itertools import product
from types import SimpleNamespace

import torch

from modeling_llada import LLaDAConfig, LLaDAGenerationConfig
from modeling_llada.models.cache_llada import LLaDACache
from modeling_llada.models.generation_llada import LLaDAGenerationMixin
from modeling_llada.models.likelihood_llada import LLaDALikelihoodMixin


NEVER = -1e4  # the logit of a token that no text has


class HiddenMarkovModel(LLaDAGenerationMixin, LLaDALikelihoodMixin):
    """
    A hidden Markov model as a mask predictor.

    The states follow each other in a circle, mostly, and each of them mostly says its own token: `0 1 2 0 1 ...` with
    errors. So a token depends strongly on the others, and hardly on its position. Behind the tokens of the texts are the mask token
    and the end token, which no text has.

    Args:
        num_tokens (`int`): Tokens that a text can have, and hidden states.
        strength (`float`): How much more likely the next state and the own token are, as a logit.
        seed (`int`): Seed of the noise on all logits, without which many probabilities would be equal.
    """

    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, num_tokens: int = 3, strength: float = 2.5, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)

        def blur(logits: torch.Tensor) -> torch.Tensor:
            noise = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
            return (strength * logits + 0.5 * noise).softmax(-1)

        self.num_tokens, self.mask_token_id = num_tokens, num_tokens
        own = torch.eye(num_tokens, dtype=torch.float64)
        self.start, self.transition, self.emission = blur(own[0] / 4), blur(own.roll(1, dims=1)), blur(own)
        ends = dict.fromkeys(("eos_token_id", "pad_token_id", "bos_token_id"), num_tokens + 1)
        self.config = LLaDAConfig(
            vocab_size=num_tokens + 2,
            mask_token_id=self.mask_token_id,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=64,
            **ends,
        )
        self.generation_config = LLaDAGenerationConfig.from_model_config(self.config)

    def __call__(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        logits_to_keep: torch.BoolTensor | int = 0,
        cache: LLaDACache | None = None,
        labels: torch.LongTensor | None = None,
        masked_positions: torch.LongTensor | None = None,
    ) -> SimpleNamespace:
        """
        The log-probability of each token given the others, `(batch, length, vocab_size)`, or what `logits_to_keep` keeps of it.
        With `labels`, the cross-entropies at `masked_positions` of the flattened batch. A cache keeps the tokens.
        """
        columns = None
        if cache is not None:
            columns = cache.window
            states = input_ids[:, None, :, None].float()  # (batch, num_heads, length, head_dim), as keys are
            input_ids = cache.update(states, states, 0)[0][:, 0, :, 0].long()
        logits = self.predict(input_ids, attention_mask)
        if columns is not None:
            logits = logits.take_along_dim(columns[..., None], 1)
        if labels is not None:
            chosen, targets = (values.flatten(0, 1)[masked_positions] for values in (logits, labels))
            return SimpleNamespace(losses=-chosen.gather(-1, targets[:, None])[:, 0])
        return SimpleNamespace(logits=logits[logits_to_keep] if isinstance(logits_to_keep, torch.Tensor) else logits)

    def predict(self, tokens: torch.LongTensor, attention_mask: torch.Tensor | None = None) -> torch.FloatTensor:
        """The log-probability of each token given all others; masks are unknown, and padding, on the left, is no part of a text."""
        before, after = self._messages(tokens, attention_mask)
        probability = (before * after) @ self.emission
        log_probs = (probability / probability.sum(-1, keepdim=True)).log().float()
        return torch.nn.functional.pad(log_probs, (0, 2), value=NEVER)

    def log_probability(self, tokens: torch.LongTensor) -> torch.DoubleTensor:
        """The log-probability of texts, `(batch,)`; masks are summed over."""
        before, after = self._messages(tokens, None)
        return (before[:, -1] * after[:, -1] * self._evidence(tokens[:, -1])).sum(-1).log()

    def texts(self, length: int) -> torch.LongTensor:
        """All texts of a length, `(num_tokens ** length, length)`, in the order of their numbers."""
        return torch.tensor(list(product(range(self.num_tokens), repeat=length)))

    def number(self, texts: torch.LongTensor) -> torch.LongTensor:
        """The place of each text in [`texts`], `(batch,)`."""
        places = self.num_tokens ** torch.arange(texts.shape[1] - 1, -1, -1)
        return (texts * places).sum(-1)

    def _evidence(self, tokens: torch.LongTensor) -> torch.DoubleTensor:
        """The probability of tokens in each state, `(batch, num_states)`; 1 for a mask, which says nothing."""
        told = self.emission.T[tokens.clamp(max=self.num_tokens - 1)]
        return torch.where((tokens < self.num_tokens)[:, None], told, 1.0)

    def _messages(
        self, tokens: torch.LongTensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.DoubleTensor, torch.DoubleTensor]:
        """For each position and state the joint probability with the tokens before it, and that of the tokens after it."""
        length = tokens.shape[1]
        first = torch.zeros(len(tokens)) if attention_mask is None else attention_mask.int().argmax(-1)
        before, after = [self.start.expand(len(tokens), -1)], [torch.ones_like(self.start).expand(len(tokens), -1)]
        for column in range(1, length):
            moved = (before[-1] * self._evidence(tokens[:, column - 1])) @ self.transition
            before.append(torch.where((first >= column)[:, None], self.start, moved))
        for column in range(length - 1, 0, -1):
            after.append((after[-1] * self._evidence(tokens[:, column])) @ self.transition.T)
        return torch.stack(before, 1), torch.stack(after[::-1], 1)
