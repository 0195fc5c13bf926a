# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What masked fine-tuning refuses before it starts, each with the way out."""

import copy
import re

from peft import LoraConfig, PeftConfig, PeftModel
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.utils.generic import is_flash_attention_requested

from ...export.tokenizer import GENERATION_MARK, set_chat_template
from .configuration import LLaDASFTConfig


# All linear layers of a Transformer layer, and not the head.
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def check_arguments(args: LLaDASFTConfig, given: dict[str, object]) -> None:
    """
    Raises a `ValueError` for an argument that would train something else than it says.

    Args:
        args ([`LLaDASFTConfig`]):
            The arguments.
        given (`dict[str, object]`):
            Arguments of [`~trl.SFTTrainer`] that this trainer does not take, by name.
    """
    if not isinstance(args, LLaDASFTConfig):
        raise ValueError(
            f"`args` must be a `LLaDASFTConfig`, but got {type(args).__name__}. It takes the same arguments, and more."
        )
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"`{name}` is not supported: {REASONS[name]}. Leave it out, or subclass `LLaDASFTTrainer`."
            )
    for name, wrong, reason in (
        ("use_liger_kernel", args.use_liger_kernel, "it would replace the loss by the shifted one"),
        ("label_smoothing_factor", args.label_smoothing_factor, "the loss is eq. 5 of the paper alone"),
        ("loss_type", args.loss_type != "nll", "the loss is eq. 5 of the paper alone"),
        ("train_sampling_strategy", args.train_sampling_strategy == "batch_rebalance", "noise belongs to one order"),
        ("dispatch_batches", args.accelerator_config.dispatch_batches, "batches cannot be cut after they were masked"),
    ):
        if wrong:
            value = getattr(args, name, True)
            raise ValueError(f"`{name}={value!r}` is not supported: {reason}. Leave it at its default.")
    check_packing(args)
    check_parallelism(args.parallelism_config)


REASONS = {
    "data_collator": "the collator draws the noise",
    "compute_loss_func": "the loss is eq. 5 of the paper",
    "compute_metrics": "it would need logits for every position",
    "preprocess_logits_for_metrics": "it would need logits for every position",
}


def check_packing(args: LLaDASFTConfig) -> None:
    """Raises a `ValueError` for arguments that packing would not follow."""
    if args.padding_free:
        raise ValueError(
            "`padding_free=True` is not supported: the collator pads, and does not make one row of a batch. Leave it out; "
            "`packing=True` saves the padding, and its documents do not see each other."
        )
    if not (args.packing or args.eval_packing):
        return
    if args.max_length is None:
        raise ValueError("`packing=True` needs `max_length`, the length of a packed row, but got `None`.")
    if args.eos_fill is not None:
        raise ValueError(
            f"`packing=True` is not supported with `eos_fill={args.eos_fill!r}`: what comes after a response is the next "
            "document, not EOS. Leave one of them out."
        )
    if (args.dataset_kwargs or {}).get("skip_prepare_dataset"):
        raise ValueError(
            '`packing=True` would do nothing with `dataset_kwargs={"skip_prepare_dataset": True}`. Leave it out: rows that '
            "`trl.pack_dataset` has packed are known by their `seq_lengths`."
        )


def check_attention(model: PreTrainedModel) -> None:
    """Raises a `ValueError` unless the attention of a model can keep the documents of a packed row apart."""
    implementation = model.config._attn_implementation
    if implementation not in ALL_MASK_ATTENTION_FUNCTIONS and not is_flash_attention_requested(model.config):
        raise ValueError(
            f'Documents that share a row would attend to each other with `attn_implementation="{implementation}"`, which '
            'has no mask. Load `model` with `attn_implementation="sdpa"`, "eager", "flex_attention" or '
            '"flash_attention_2", or leave `packing` out.'
        )


def check_parallelism(config: "ParallelismConfig | None") -> None:  # noqa: F821
    """Raises a `ValueError` if processes would get parts of rows. Rows, weights and heads may be spread over them."""
    for name in ("cp_size", "sp_size"):
        size = getattr(config, name, None)
        if size is not None and size > 1:
            raise ValueError(
                f"`parallelism_config` with `{name}={size}` is not supported: it cuts rows into parts, and the masked "
                "positions of the loss are those of whole rows. For long rows use `gradient_checkpointing=True`, "
                "`tp_size` or FSDP."
            )


def check_model(model: PreTrainedModel) -> None:
    """Raises a `ValueError` unless a model is a LLaDA mask predictor."""
    config = model.config
    if getattr(config, "model_type", None) != "llada" or model.get_output_embeddings() is None:
        raise ValueError(
            f"`model` must be a LLaDA mask predictor (`LLaDAForMaskedLM`), but got {type(model).__name__}. Load it with "
            "`AutoModelForMaskedLM.from_pretrained`, after `import modeling_llada`."
        )
    if config.mask_token_id is None:
        raise ValueError("`model` needs `config.mask_token_id`: set it to the id of the mask token of the tokenizer.")


def check_adapter(model: PreTrainedModel | PeftModel, peft_config: PeftConfig | None) -> None:
    """
    Raises a `ValueError` if an adapter is not to be trained, is one of prompt learning, or names modules or tokens that the
    model does not have. PEFT leaves those out without a word, as long as there are others.

    Args:
        model ([`PreTrainedModel`] or [`~peft.PeftModel`]):
            The mask predictor, or one with adapters.
        peft_config ([`~peft.PeftConfig`], *optional*):
            A new adapter.
    """
    if isinstance(model, PeftModel) and not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "`model` has an adapter that was loaded for inference, so that nothing of it would be trained. Load it with "
            "`PeftModel.from_pretrained(..., is_trainable=True)`."
        )
    names = [name for name, _ in model.named_modules()]
    given = model.peft_config.values() if isinstance(model, PeftModel) else []
    for argument, config in [*(("model", config) for config in given), ("peft_config", peft_config)]:
        if getattr(config, "is_prompt_learning", False):
            raise ValueError(
                f"`{argument}` must not have an adapter of prompt learning, but got {type(config).__name__}: virtual "
                "tokens would shift the masked positions. Use a `LoraConfig`."
            )
        _check_names(config, names)
        _check_token_indices(config, model)
        targets = getattr(config, "target_modules", None)
        if not targets or isinstance(targets, str):
            continue
        unknown = sorted(target for target in targets if not any(f".{name}".endswith(f".{target}") for name in names))
        if unknown:
            raise ValueError(
                f"`target_modules` must name modules of the model, which has no {', '.join(unknown)}. Its projections are "
                f"{', '.join(PROJECTIONS)}; the official attn_out, ff_proj and ff_out are o_proj, gate_proj and down_proj. "
                "An adapter that was trained on the official modules is renamed by `llada convert-adapter`."
            )


def _check_names(config: PeftConfig | None, names: list[str]) -> None:
    """Modules beside the targets are found as PEFT does it: by the end of their name, and by expressions."""
    tokens = getattr(config, "trainable_token_indices", None)
    for argument, given, matches in (
        ("modules_to_save", getattr(config, "modules_to_save", None), str.endswith),
        ("trainable_token_indices", tokens if isinstance(tokens, dict) else None, str.endswith),
        ("rank_pattern", getattr(config, "rank_pattern", None), _matches_expression),
        ("alpha_pattern", getattr(config, "alpha_pattern", None), _matches_expression),
    ):
        unknown = sorted(wanted for wanted in given or () if not any(matches(name, wanted) for name in names))
        if unknown:
            raise ValueError(
                f"`{argument}` must name modules of the model, which has no {', '.join(unknown)}. See "
                "`model.named_modules()`, or leave these out."
            )


def _matches_expression(name: str, pattern: str) -> bool:
    return re.match(rf"(.*\.)?({pattern})$", name) is not None


def _check_token_indices(config: PeftConfig | None, model: PreTrainedModel | PeftModel) -> None:
    tokens = getattr(config, "trainable_token_indices", None) or []
    rows = model.get_input_embeddings().weight.shape[0]
    lists = tokens.values() if isinstance(tokens, dict) else [tokens]
    outside = sorted({token for indices in lists for token in indices if not 0 <= token < rows})
    if outside:
        raise ValueError(
            f"`trainable_token_indices` must be token ids from 0 to {rows - 1}, the rows of the embedding, but "
            f"{', '.join(map(str, outside[:10]))} are not."
        )


def check_trainable(model: PreTrainedModel | PeftModel) -> None:
    """Raises a `ValueError` if no weight of a model would be trained."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "`model` has no weights that would be trained: all are frozen, as those of an adapter folder that is loaded "
            "as a model. Give a `peft_config` for a new adapter; go on with one by giving "
            "`PeftModel.from_pretrained(base, folder, is_trainable=True)`; or unfreeze weights with "
            "`model.requires_grad_(True)`."
        )


def check_tied_embedding(model: PreTrainedModel | PeftModel) -> None:
    """Raises a `ValueError` if the embedding alone has an adapter, but is the head too, which a merge would change."""
    embedding = model.get_input_embeddings()
    if not model.config.tie_word_embeddings or not isinstance(embedding, BaseTunerLayer):
        return
    if not isinstance(embedding, TrainableTokensLayer):
        raise ValueError(
            "`target_modules` must leave out the embedding of a model that ties it to the head (`tie_word_embeddings`): "
            "merged, the adapter would change both. Train the tokens that you need with `trainable_token_indices`, or "
            'all of them with `modules_to_save=["embed_tokens"]` and `ensure_weight_tying=True`.'
        )


def keep_gradients(model: PreTrainedModel | PeftModel) -> None:
    """
    Keeps gradients flowing through 4-bit weights on a CPU.

    The first call in evaluation mode makes bitsandbytes repack them on CPUs with AVX-512 BF16, and its product with
    repacked weights has no gradient: training after an evaluation would reach only a part of the adapter.

    Raises:
        `ValueError`: if they are repacked already, which bitsandbytes cannot undo.
    """
    for name, module in model.named_modules():
        if not hasattr(module, "support_avx512bf16_for_cpu"):
            continue
        if getattr(module.weight.quant_state, "packing_format_for_cpu", False):
            raise ValueError(
                f"`model` was called before training, and bitsandbytes has repacked its weights ({name}), through which "
                "there are no gradients. Load it again, and give it to the trainer first."
            )
        module.support_avx512bf16_for_cpu = False


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Raises a `ValueError` unless the ids of a tokenizer are those of a model."""
    config, rows = model.config, model.get_input_embeddings().weight.shape[0]
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ValueError(f"`processing_class` must be a tokenizer, but got {type(tokenizer).__name__}.")
    if len(tokenizer) > rows:
        raise ValueError(
            f"`processing_class` must fit the embedding, but it has {len(tokenizer)} tokens and the embedding {rows} rows. "
            "Give the tokenizer that the model was trained with, or call `model.resize_token_embeddings`."
        )
    token = tokenizer.convert_ids_to_tokens(config.mask_token_id) if config.mask_token_id < len(tokenizer) else None
    if tokenizer.mask_token_id is None:
        raise ValueError(
            "`processing_class` must have a mask token, but its `mask_token` is not set. "
            + (
                f"If it belongs to this model, `tokenizer.mask_token = {token!r}` says so: that is the token of "
                f"`config.mask_token_id={config.mask_token_id}`."
                if token is not None
                else "Give the tokenizer that the model was trained with."
            )
        )
    if tokenizer.mask_token_id != config.mask_token_id:
        raise ValueError(
            f"`processing_class` must have the mask token of the model, `config.mask_token_id={config.mask_token_id}`, but "
            f"its mask token {tokenizer.mask_token!r} is {tokenizer.mask_token_id}. Give the tokenizer that the model was "
            "trained with."
        )
    if tokenizer.eos_token_id is None:
        raise ValueError("`processing_class` must have an EOS token, which ends responses. Set `tokenizer.eos_token`.")
    if tokenizer.pad_token_id == tokenizer.mask_token_id:
        raise ValueError(
            "`processing_class` must not pad with the mask token. Set `tokenizer.pad_token = tokenizer.eos_token`."
        )


def check_chat_template(tokenizer: PreTrainedTokenizerBase, row: dict, assistant_only_loss: bool) -> None:
    """
    Raises a `ValueError` unless messages can be rendered, and the answers in them be found where they are asked for.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            A template without marks is replaced by ours if that renders the same prompts, as for an official checkpoint.
        row (`dict`):
            The first row of the dataset.
        assistant_only_loss (`bool`):
            Whether all answers are trained on.
    """
    messages = row.get("messages", row.get("prompt"))
    if not isinstance(messages, list):
        return
    if tokenizer.chat_template is None:
        raise ValueError(
            "`processing_class` must have a chat template to train on messages, but its `chat_template` is not set. Give "
            "one as `chat_template_path`, or train on columns `prompt` and `completion` that hold texts."
        )
    if not assistant_only_loss:
        return
    set_chat_template(tokenizer)
    if not GENERATION_MARK.search(str(tokenizer.chat_template)):
        raise ValueError(
            "`assistant_only_loss=True` needs a chat template that marks what the assistant says with `{% generation %}` "
            "and `{% endgeneration %}`, but that of `processing_class` does not. Add the marks, or leave the argument out "
            "to train on the last answer alone."
        )


def with_default_targets(peft_config: PeftConfig | None) -> PeftConfig | None:
    """LoRA that names no layers is put on all seven projections, not on the head."""
    if not isinstance(peft_config, LoraConfig) or peft_config.target_modules is not None:
        return peft_config
    if getattr(peft_config, "target_parameters", None):
        return peft_config
    peft_config = copy.copy(peft_config)
    peft_config.target_modules = set(PROJECTIONS)
    return peft_config
