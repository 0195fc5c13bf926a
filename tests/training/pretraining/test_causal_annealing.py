# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Attention that goes from causal to full over the first steps of a run."""

from unittest import mock

import pytest
import torch
from support.made_up_corpus import BOS, MASK
from transformers import LlamaForCausalLM

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import (
    AutoregressivePretrainer,
    LLaDAPretrainer,
    LLaDAPretrainingConfig,
    autoregressive_twin,
)
from modeling_llada.training.pretraining.batches import TensorRows, TrainingBatches
from modeling_llada.training.pretraining.causal_annealing import annealed_attention, visible_future


WIDTH = 12


@pytest.fixture
def make_trainer(pretraining_settings, tiny_model, random_ids):
    """Makes a trainer of eight steps, half of which anneal; keyword arguments change the training arguments."""

    def make(**changes):
        settings = {"max_steps": 8, "tokens_per_step": 96, "causal_annealing_ratio": 0.5, "random_length_ratio": 0.0}
        args = LLaDAPretrainingConfig(**(pretraining_settings | settings | changes))
        return LLaDAPretrainer(tiny_model(initializer_range=0.05), args, random_ids(40, WIDTH))

    return make


def batches(rows, **changes):
    settings = {"max_steps": 8, "tokens_per_step": 96, "causal_annealing_ratio": 0.5, "random_length_ratio": 0.0}
    return TrainingBatches(TensorRows(rows), mask_token_id=MASK, device="cpu", **(settings | changes))


def mask_of(visible):
    return annealed_attention(WIDTH, visible, torch.Generator().manual_seed(0))


def test_nothing_visible_gives_the_logits_of_the_causal_model(tiny_config, random_ids):
    torch.manual_seed(0)
    llama = autoregressive_twin(tiny_config(bos_token_id=BOS)).eval()
    llada = LLaDAForMaskedLM(tiny_config()).eval()
    llada.load_state_dict(llama.state_dict())
    assert isinstance(llama, LlamaForCausalLM)
    input_ids = random_ids(3, WIDTH)
    logits = llada(input_ids, attention_mask=mask_of(0.0)).logits
    torch.testing.assert_close(logits, llama(input_ids).logits, atol=1e-5, rtol=1e-5)


def test_everything_visible_gives_the_logits_without_a_mask(tiny_model, random_ids):
    model, input_ids = tiny_model(), random_ids(3, WIDTH)
    logits = model(input_ids, attention_mask=mask_of(1.0)).logits
    torch.testing.assert_close(logits, model(input_ids).logits, atol=1e-5, rtol=1e-5)


def test_in_between_the_past_is_visible_and_so_much_of_the_future():
    mask = annealed_attention(300, 0.3, torch.Generator().manual_seed(0))[0, 0]
    future = torch.ones_like(mask).triu(1)
    assert mask[~future].all()
    assert mask[future].float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_the_future_comes_into_sight_over_the_first_steps():
    assert [visible_future(step, 8, 0.5) for step in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert [visible_future(step, 8, 0.0) for step in range(3)] == [1, 1, 1]


def test_masks_follow_from_seed_and_step_and_leave_rows_and_noise_alone(random_ids):
    rows = random_ids(40, WIDTH)
    annealed, again, plain = batches(rows), batches(rows), batches(rows, causal_annealing_ratio=0.0)
    for step in (3, 1, 7):  # in any order
        (batch,), (same,), (without,) = (source.at(step) for source in (annealed, again, plain))
        assert ("visible" in batch) == (step < 4) and "visible" not in without
        assert step > 3 or torch.equal(batch["visible"], same["visible"])
        for name, value in without.items():
            assert torch.equal(torch.as_tensor(batch[name]), torch.as_tensor(value)), name
    assert not torch.equal(annealed.at(2)[0]["visible"], batches(rows, seed=1).at(2)[0]["visible"])


def test_accumulation_and_processes_share_the_mask_of_a_step(random_ids):
    rows = random_ids(40, WIDTH)
    whole = batches(rows).at(2)[0]["visible"]
    for process in (0, 1):
        for part in batches(rows, accumulation_steps=2, num_processes=2, process_index=process).at(2):
            assert torch.equal(part["visible"], whole)


def test_rows_that_are_cut_see_no_padding(make_trainer):
    trainer = make_trainer(random_length_ratio=1.0)
    (batch,) = trainer.get_train_dataloader().at(1)
    with mock.patch.object(trainer, "token_losses", wraps=trainer.token_losses) as token_losses:
        trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"])
    mask, lengths = token_losses.call_args.kwargs["attention_mask"], batch["attention_mask"].sum(1)
    assert mask.shape == (8, 1, WIDTH, WIDTH)
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(mask[row, 0, :, :length], batch["visible"][0, 0, :, :length])
        assert not mask[row, 0, :, length:].any()


def test_the_first_loss_is_that_of_a_causal_model(make_trainer):
    trainer = make_trainer()
    (batch,) = trainer.get_train_dataloader().at(0)
    causal = torch.ones(WIDTH, WIDTH, dtype=torch.bool).tril()[None, None]
    inputs = batch["input_ids"], batch["labels"], batch["masked_positions"], causal
    losses = trainer.token_losses(trainer.model, *inputs).losses
    expected = (losses / batch["rates"]).sum() / batch["num_items"]
    loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_one_more_graph_for_all_steps(make_trainer):
    compile_function = torch.compile
    # Traces as the default backend does, without the minutes of C++ compilation.
    trace = lambda function, **kwargs: compile_function(function, backend="eager", **kwargs)  # noqa: E731
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with mock.patch("torch.compile", trace):
        trainer = make_trainer(compile_loss=True)
    trainer.train()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2


def test_resumes_in_the_middle_as_if_it_had_not_stopped(make_trainer, tmp_path):
    whole = make_trainer()
    whole.train()
    folder = str(tmp_path / "pieces")
    make_trainer(save_strategy="steps", save_steps=2, output_dir=folder, save_total_limit=8).train()
    resumed = make_trainer(output_dir=folder)
    resumed.train(resume_from_checkpoint=f"{folder}/checkpoint-2")
    for name, value in whole.model.state_dict().items():
        assert torch.allclose(resumed.model.state_dict()[name], value, atol=1e-6), name


def test_what_cannot_be_annealed_is_an_error(make_trainer, pretraining_settings, tiny_config, tiny_model):
    args = LLaDAPretrainingConfig(**pretraining_settings, causal_annealing_ratio=0.1)
    with pytest.raises(ValueError, match="`causal_annealing_ratio` must be in \\[0, 1\\]"):
        make_trainer(causal_annealing_ratio=1.5)
    with pytest.raises(ValueError, match="`causal_annealing_ratio` has no meaning for an autoregressive model"):
        AutoregressivePretrainer(autoregressive_twin(tiny_config(bos_token_id=BOS)), args)
    model = tiny_model()
    model.set_attn_implementation("eager")
    with pytest.raises(ValueError, match="`causal_annealing_ratio` needs .* sdpa"):
        LLaDAPretrainer(model, args)
