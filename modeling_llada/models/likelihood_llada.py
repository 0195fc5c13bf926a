# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The likelihood of a text under a mask predictor: a Monte-Carlo estimate of a lower bound.

The estimate is eq. 6 of https://huggingface.co/papers/2502.09992, which has a much smaller variance than the training
objective. For a text of `L` scored tokens, with `l` uniform in `1 .. L` and `l` of them masked without replacement:

    log p(x_0)  >=  E_{l, x_l} [ L / l  sum_i 1[x_l^i = M]  log p_theta(x_0^i | x_l) ]

A model of blocks gives the log-likelihood of each block behind the clean blocks before it. Their sum is that of the text, and each
of them is estimated in this way, with an `l` of its own.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from .adapters_llada import AdapterRows, adapters_of, check_adapters, check_embedders
from .arguments_llada import check_generator, check_ids, check_shape, check_token_types, check_vocabulary
from .blocks_llada import BlockGeometry
from .embeddings_llada import EmbeddedInputsMixin, GivenEmbeddings, embedded
from .guidance_llada import guided_logits
from .likelihood_noise_llada import draw_noise_of_blocks
from .options_llada import check_bool, check_integer, check_number
from .sampling_llada import shared_generator


@dataclass
class LLaDALikelihoodOutput(ModelOutput):
    """
    Output of [`~LLaDAForMaskedLM.log_likelihood`].

    Args:
        log_likelihood (`torch.FloatTensor` of shape `(batch,)`):
            The estimated bound on the log-likelihood of the scored tokens, in nats.
        standard_error (`torch.FloatTensor` of shape `(batch,)`):
            Standard error of the estimate, NaN for a single sample or antithetic pair. It assumes independent samples or
            pairs; the true error is smaller, because `l` and the masks are spread evenly over them.
    """

    log_likelihood: torch.FloatTensor | None = None
    standard_error: torch.FloatTensor | None = None


class LLaDALikelihoodMixin(EmbeddedInputsMixin):
    """
    Scores of texts. `forward` has to take `masked_positions` and `logits_to_keep`, and the config a `mask_token_id`. That of a
    model of blocks also takes `clean_ids` and `block_length`.
    """

    block_geometry = BlockGeometry()

    @torch.no_grad()
    def log_likelihood(
        self,
        input_ids: torch.LongTensor,
        labels: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        num_samples: int = 128,
        batch_size: int = 16,
        antithetic: bool = False,
        cfg_scale: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        adapter_names: list[str] | None = None,
        token_type_ids: torch.LongTensor | None = None,
        cfg_text_only: bool = False,
        block_length: int | None = None,
        **kwargs,
    ) -> LLaDALikelihoodOutput:
        r"""
        Estimates the log-likelihood of some tokens of a text given the others (eq. 6 of the paper).

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`):
                The texts.
            labels (`torch.LongTensor` of shape `(batch, length)`):
                The scored tokens, and -100 at the given ones. Any span can be scored: an answer, the middle of a text,
                or all of it.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
                0 for padding, on either side. For a model of blocks not between tokens.
            num_samples (`int`, *optional*, defaults to 128):
                Noise samples for each row.
            batch_size (`int`, *optional*, defaults to 16):
                Sequences in a forward pass. It does not change the result.
            antithetic (`bool`, *optional*, defaults to `False`):
                Whether to couple the samples, for a smaller error at the same cost: `l` comes in pairs `l` and
                `L + 1 - l`, and samples with a similar `l` mask different tokens if possible. It needs an even
                `num_samples`.
            cfg_scale (`float`, *optional*, defaults to 0.0):
                Scale `w` of the unsupervised classifier-free guidance (eq. 16): the model also sees the text with the
                given tokens masked.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Source of the randomness; or a list with one for each row, so that a score does not depend on the other
                rows. A score never depends on the padding.
            adapter_names (`list[str]`, *optional*):
                With adapters of PEFT, that of each row; `"__base__"` for none. By default the active adapter of all.
            token_type_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Zeros, as some tokenizers return them. They have no effect.
            cfg_text_only (`bool`, *optional*, defaults to `False`):
                Whether guidance masks only the text that is given, and keeps its images.
            block_length (`int`, *optional*):
                For a model of blocks, their length, counted from the first token of each row; by default that of its
                `generation_config`. A scored token is then given the clean blocks before it, and the given tokens of its own
                block. It does not see later blocks.
            kwargs:
                For a model that sees images: the images of the texts, as its `forward` takes them. Their features are
                computed once for all samples. Image tokens cannot be scored.

        Returns:
            [`LLaDALikelihoodOutput`].

        Raises:
            `ValueError`: if shapes do not match, if a row has no token to score or is longer than the context of the
                model, if an image token has a label, if a number is out of its range, or if `block_length` is set for a model
                without blocks.
            `TypeError`: if the model does not take an argument.

        Example:

        ```python
        >>> from transformers import AutoModel, AutoTokenizer
        >>> import modeling_llada  # registers the classes

        >>> tokenizer = AutoTokenizer.from_pretrained("checkpoints/llada-poet")
        >>> model = AutoModel.from_pretrained("checkpoints/llada-poet", dtype="float32")
        >>> input_ids = tokenizer("床前明月光，疑是地上霜。", return_tensors="pt").input_ids
        >>> labels = input_ids.clone()
        >>> labels[:, :6] = -100  # given
        >>> round(model.log_likelihood(input_ids, labels, num_samples=64).log_likelihood.item(), 1)
        -0.0
        ```
        """
        block_length = self.length_of_blocks(block_length)
        model_inputs = self.pop_embedded_inputs(kwargs)
        check_no_others("log_likelihood", kwargs)
        check_scoring(input_ids, labels, attention_mask, self.config)
        check_length(input_ids, attention_mask, self.config)
        check_samples(num_samples, batch_size, antithetic, cfg_scale)
        check_bool("cfg_text_only", cfg_text_only)
        check_token_types(token_type_ids)
        check_adapters(self, adapter_names, len(input_ids))
        if any(value is not None for value in model_inputs.values()):
            check_embedders(self, adapter_names)
        generators = self._generators_of_rows(generator, len(input_ids))
        input_ids, labels = input_ids.to(self.device).long(), labels.to(self.device).long()
        attention_mask = None if attention_mask is None else attention_mask.to(self.device)
        scored = labels != -100
        texts = torch.where(scored, labels, input_ids)
        embeddings = self.embed_given(texts, model_inputs)
        real = torch.ones_like(texts) if attention_mask is None else (attention_mask != 0).long()
        if self.block_geometry.is_block_causal:
            check_no_gap(real)
        blocks = self.block_geometry.block_ids(real, block_length)
        given = ~scored & ~embeddings.where if embeddings is not None and cfg_text_only else ~scored

        # The samples of several rows can share a forward pass, and those of one row can need several. The noise is drawn
        # row by row, so it does not depend on that.
        samples = []
        for rows in torch.arange(len(texts)).split(max(1, batch_size // num_samples)):
            noise = [
                draw_noise_of_blocks(scored[row], blocks[row], num_samples, antithetic, generators[row])
                for row in rows.tolist()
            ]
            weights = torch.cat(noise)
            row_of = rows.to(self.device).repeat_interleave(num_samples)
            for part in torch.arange(len(weights), device=self.device).split(batch_size):
                row = row_of[part]
                attended = None if attention_mask is None else attention_mask[row]
                adapters = AdapterRows(row, len(texts), adapter_names)
                log_probs = self.token_log_probs(
                    texts[row],
                    weights[part] > 0,
                    attended,
                    given[row],
                    cfg_scale,
                    adapters,
                    None if embeddings is None else embeddings.of_rows(row),
                    block_length,
                )
                samples.append((weights[part] * log_probs).sum(-1))
        samples = torch.cat(samples).view(len(texts), num_samples)

        independent = samples.view(len(texts), -1, 2).mean(-1) if antithetic else samples
        num_independent = independent.shape[-1]
        deviation = independent.std(-1) if num_independent > 1 else independent.new_full((len(texts),), torch.nan)
        return LLaDALikelihoodOutput(log_likelihood=samples.mean(-1), standard_error=deviation / num_independent**0.5)

    def perplexity(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        window: int | None = None,
        stride: int | None = None,
        **kwargs,
    ) -> torch.FloatTensor:
        r"""
        Estimates the perplexity of texts, `exp(-log p(x_0) / L)`, by sliding windows: the tokens of each stride are
        scored given those before them in the window. Texts with images, whose tokens are not scored, must fit into one
        window.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`):
                The texts.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
                0 for padding, on either side, which is not scored.
            window (`int`, *optional*):
                Tokens that the model sees at a time. By default the context of the model.
            stride (`int`, *optional*):
                Tokens that are scored at a time. By default half of the window. All of the first window is scored.
            kwargs:
                Arguments of [`~LLaDAForMaskedLM.log_likelihood`].

        Returns:
            `torch.FloatTensor` of shape `(batch,)`: an upper bound in expectation.

        Raises:
            `ValueError`: if `window` or `stride` is out of its range, a row is empty, or a window cannot hold a row with
                images.
        """
        score = self.rolling_log_likelihood(input_ids, attention_mask, window, stride, **kwargs).log_likelihood
        scored = ~placeholders_in(input_ids, self.config)
        if attention_mask is not None:
            scored &= (attention_mask != 0).to(scored.device)
        return (-score / scored.sum(-1).to(score.device)).exp()

    @torch.no_grad()
    def rolling_log_likelihood(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        window: int | None = None,
        stride: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        adapter_names: list[str] | None = None,
        **kwargs,
    ) -> LLaDALikelihoodOutput:
        r"""
        Estimates the log-likelihood of whole texts of any length, row by row, by the sliding windows of
        [`~LLaDAForMaskedLM.perplexity`]. It takes the same arguments.

        Returns:
            [`LLaDALikelihoodOutput`]: the sum over the windows, which have independent noise.

        Raises:
            `ValueError`: if `window` or `stride` is out of its range, a row is empty, or a window cannot hold a row with
                images.
        """
        limit = self.config.max_position_embeddings
        window = limit if window is None else window
        check_integer("window", window, minimum=1)
        if window > limit:
            raise ValueError(f"`window` must be in [1, {limit}], the context of the model, but got {window}.")
        stride = max(1, window // 2) if stride is None else stride
        check_integer("stride", stride, minimum=1)
        if stride > window:
            raise ValueError(f"`stride` must be in [1, `window`], so that no token is left out, but got {stride}.")
        check_ids("input_ids", input_ids)
        input_ids = input_ids.long()
        attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        check_shape("attention_mask", attention_mask, input_ids.shape)
        if not attention_mask.any(-1).all():
            raise ValueError(
                "`attention_mask` must have a one in each row: one without a token has no score. Leave that row out of "
                "`input_ids`."
            )
        placeholders = placeholders_in(input_ids, self.config)
        labels = input_ids.masked_fill(placeholders | (attention_mask == 0), -100)
        check_scoring(input_ids, labels, attention_mask, self.config)
        check_adapters(self, adapter_names, len(input_ids))
        generators = self._generators_of_rows(generator, len(input_ids))
        if placeholders.any() or any(kwargs.get(name) is not None for name in self.embedded_inputs):
            check_one_window(window, attention_mask)
            kwargs |= {"generator": generators, "adapter_names": adapter_names}
            return self.log_likelihood(input_ids, labels, attention_mask, **kwargs)

        total, variance = torch.zeros(2, len(input_ids), device=self.device)
        for row, generator in enumerate(generators):
            # The padding is cut off, so that the windows of a row do not depend on other rows.
            text = input_ids[row, attention_mask[row] != 0]
            adapter = None if adapter_names is None else [adapter_names[row]]
            scored_until = 0
            while scored_until < len(text):
                end = min(scored_until + stride if scored_until else window, len(text))
                part = text[max(0, end - window) : end]
                labels = part.clone()
                labels[: scored_until - end] = -100
                score = self.log_likelihood(
                    part[None], labels[None], generator=generator, adapter_names=adapter, **kwargs
                )
                total[row] += score.log_likelihood[0]
                variance[row] += score.standard_error[0] ** 2
                scored_until = end
        return LLaDALikelihoodOutput(log_likelihood=total, standard_error=variance.sqrt())

    def _generators_of_rows(self, generator, num_rows: int) -> list[torch.Generator | None]:
        generators = check_generator(shared_generator(self) if generator is None else generator, num_rows)
        return generators * num_rows if len(generators) < num_rows else generators

    def length_of_blocks(self, block_length: int | None = None) -> int | None:
        """The length of blocks in a score, by default that of generation; `None` if every position sees every other."""
        if self.block_geometry.is_block_causal:
            if block_length is None:  # a generation_config.json need not name what the config implies
                defaults = getattr(self.config, "generation_defaults", {})
                block_length = self.generation_config.block_length or defaults.get("block_length")
            self.block_geometry.check_blocks(block_length, self.config._attn_implementation)
        elif block_length is not None:
            raise ValueError(
                f"`block_length` must be unset for this model, of which every position sees every other, but got {block_length}. "
                "Leave it out."
            )
        return block_length

    def masked_log_probs(self, *args, **kwargs) -> torch.FloatTensor:
        """The inner sum of eq. 6, `(batch,)`: that of [`~LLaDAForMaskedLM.token_log_probs`], with the same arguments."""
        return self.token_log_probs(*args, **kwargs).sum(-1)

    def token_log_probs(
        self,
        input_ids: torch.LongTensor,
        mask: torch.BoolTensor,
        attention_mask: torch.Tensor | None = None,
        given: torch.BoolTensor | None = None,
        cfg_scale: float = 0.0,
        adapter_rows: AdapterRows | None = None,
        embeddings: GivenEmbeddings | None = None,
        block_length: int | None = None,
    ) -> torch.FloatTensor:
        r"""
        The terms of the inner sum of eq. 6, `1[x_l^i = M] log p_theta(x_0^i | x_l)`, for given noise. They have gradients.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`):
                The clean texts.
            mask (`torch.BoolTensor` of shape `(batch, length)`):
                The masked tokens.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
                0 for padding.
            given (`torch.BoolTensor` of shape `(batch, length)`, *optional*):
                The tokens that guidance masks. It is only needed with `cfg_scale`.
            cfg_scale (`float`, *optional*, defaults to 0.0):
                Scale of the classifier-free guidance.
            adapter_rows (`AdapterRows`, *optional*):
                Whose adapter each sequence gets, in a mixed batch of PEFT.
            embeddings (`GivenEmbeddings`, *optional*):
                What stands in the place of tokens, such as the features of images.
            block_length (`int`, *optional*):
                For a model of blocks, their length; by default that of its `generation_config`.

        Returns:
            `torch.FloatTensor` of shape `(batch, length)`, 0 where nothing is masked.
        """
        block_length = self.length_of_blocks(block_length)
        clean = {} if block_length is None else {"clean_ids": input_ids, "block_length": block_length}
        mask_token_id = self.config.mask_token_id
        noisy = input_ids.masked_fill(mask, mask_token_id)
        if cfg_scale > 0:
            logits = guided_logits(
                self,
                noisy,
                given,
                mask_token_id,
                cfg_scale,
                attention_mask,
                None,
                mask,
                rows=adapter_rows,
                embeddings=embeddings,
                **clean,
            )
            losses = F.cross_entropy(logits, input_ids[mask], reduction="none")
        else:
            positions = mask.flatten().nonzero().flatten()
            with adapters_of(self, adapter_rows, mask):
                inputs = embedded(self, noisy, embeddings) | {"attention_mask": attention_mask} | clean
                losses = self(**inputs, labels=input_ids, masked_positions=positions).losses
        return -losses.new_zeros(mask.shape).masked_scatter(mask, losses)


def check_scoring(
    input_ids: torch.LongTensor,
    labels: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    config: PreTrainedConfig,
) -> None:
    """Checks the texts, and which of their tokens are scored."""
    if config.mask_token_id is None:
        raise ValueError("`mask_token_id` is not set in the config of the model, and a score needs it. Set it there.")
    check_ids("input_ids", input_ids)
    check_ids("labels", labels)
    check_shape("labels", labels, input_ids.shape)
    scored = labels != -100
    if not scored.any(-1).all():
        raise ValueError(
            "`labels` must hold at least one scored token in each row. Set the ids of the scored tokens, and -100 at the "
            "given ones."
        )
    placeholders = placeholders_in(input_ids, config)
    if (scored & (placeholders | placeholders_in(labels, config))).any():
        raise ValueError(
            f"`labels` must be -100 at image tokens, {list(config.placeholder_token_ids)}, which stand for features and are "
            "never scored. Set `labels[torch.isin(input_ids, torch.tensor(model.config.placeholder_token_ids))] = -100`."
        )
    texts = torch.where(scored, labels, input_ids).masked_fill(placeholders, 0)
    check_vocabulary("`input_ids` and `labels`", texts, config.vocab_size)
    if (labels == config.mask_token_id).any():
        raise ValueError(
            f"`labels` must not hold the mask token, {config.mask_token_id}, which stands for no text and has no score. Set "
            "-100 there; `perplexity` and `rolling_log_likelihood` need `input_ids` without it."
        )
    if attention_mask is not None:
        check_shape("attention_mask", attention_mask, input_ids.shape)
        if (scored & (attention_mask == 0)).any():
            raise ValueError("`labels` must be -100 where `attention_mask` is 0, because padding cannot be scored.")


def placeholders_in(ids: torch.LongTensor, config: PreTrainedConfig) -> torch.BoolTensor:
    """Where something else than text stands: the tokens of images, of a model that sees them."""
    placeholders = torch.tensor(getattr(config, "placeholder_token_ids", ()), dtype=torch.long, device=ids.device)
    return torch.isin(ids.long(), placeholders)


def check_one_window(window: int, attention_mask: torch.Tensor) -> None:
    """A window must not cut an image in two."""
    length = int((attention_mask != 0).sum(-1).max())
    if length > window:
        raise ValueError(
            f"`window` must hold each row of a batch with images, which are not cut, but got {window} for {length} tokens. "
            "Shorten the text, show fewer images, or score rows without images in a call of their own."
        )


def check_no_others(method: str, kwargs: dict) -> None:
    """Refuses arguments that nothing reads."""
    for name in kwargs:
        raise TypeError(f"`{method}` got an unexpected keyword argument `{name}`, which nothing reads. Leave it out.")


def check_length(input_ids: torch.LongTensor, attention_mask: torch.Tensor | None, config: PreTrainedConfig) -> None:
    """Checks that the texts fit into the context of the model."""
    length = input_ids.shape[1] if attention_mask is None else int((attention_mask != 0).sum(-1).max())
    if length > config.max_position_embeddings:
        raise ValueError(
            f"`input_ids` must fit into `max_position_embeddings={config.max_position_embeddings}` tokens, but got "
            f"{length}. Shorten them, or score whole texts by windows: `rolling_log_likelihood`, `perplexity`."
        )


def check_no_gap(real: torch.LongTensor) -> None:
    """Checks that the tokens of a row are one behind the other: behind a gap, blocks would be counted anew."""
    starts = (F.pad(real, (1, 0)).diff(dim=-1) > 0).sum(-1)
    if (starts > 1).any():
        raise ValueError(
            "`attention_mask` must have no 0 between tokens of a row for this model, whose blocks are counted from the first "
            f"token, but has some in row {int(starts.argmax())}. Put the padding on one side."
        )


def check_samples(num_samples: int, batch_size: int, antithetic: bool, cfg_scale: float) -> None:
    """Checks the numbers of an estimate."""
    check_integer("num_samples", num_samples, minimum=1, maximum=2**31 - 1)
    check_integer("batch_size", batch_size, minimum=1, maximum=2**31 - 1)
    check_bool("antithetic", antithetic)
    check_number("cfg_scale", cfg_scale, minimum=0.0)
    if antithetic and num_samples % 2:
        raise ValueError(
            f"`num_samples` must be even with `antithetic=True`, which pairs the samples, but got {num_samples}."
        )


__all__ = ["LLaDALikelihoodMixin", "LLaDALikelihoodOutput"]
