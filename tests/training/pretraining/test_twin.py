# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The autoregressive twin: the rows of a LLaDA's run, with every token predicted from those before it."""

import pytest
import torch
from support.made_up_corpus import BOS
from transformers import LlamaForCausalLM

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import (
    AutoregressivePretrainer,
    LLaDAPretrainer,
    LLaDAPretrainingConfig,
    autoregressive_twin,
    find_last_checkpoint,
)
from modeling_llada.training.pretraining.batches import TensorRows


@pytest.fixture
def make_trainer(pretraining_settings, tiny_config, mixture):
    def make(trainer_class=AutoregressivePretrainer, eval_dataset=None, **changes):
        torch.manual_seed(0)
        config = tiny_config(bos_token_id=BOS, tie_word_embeddings=True)
        model = LLaDAForMaskedLM(config) if trainer_class is LLaDAPretrainer else autoregressive_twin(config)
        return trainer_class(model, LLaDAPretrainingConfig(**(pretraining_settings | changes)), mixture, eval_dataset)

    return make


def is_predicted(batch):
    """Which positions of the rows have a loss."""
    found = torch.zeros(batch["input_ids"].numel(), dtype=torch.bool)
    found[batch["masked_positions"][batch["masked_positions"] >= 0]] = True
    return found.view_as(batch["input_ids"])


def test_a_twin_has_the_shape_and_the_size_of_its_llada(tiny_config):
    config = tiny_config(bos_token_id=BOS, tie_word_embeddings=True, attention_dropout=0.1)
    twin, llada = autoregressive_twin(config), LLaDAForMaskedLM(config)
    assert isinstance(twin, LlamaForCausalLM)
    assert twin.num_parameters() == llada.num_parameters()
    assert twin.config.attention_dropout == 0.1
    assert twin.config.rope_parameters["rope_theta"] == config.rope_parameters["rope_theta"]


def test_trains_on_the_rows_of_the_masked_diffusion_run(make_trainer):
    twin, llada = (
        make_trainer(kind, random_length_ratio=1.0).get_train_dataloader()
        for kind in (AutoregressivePretrainer, LLaDAPretrainer)
    )
    for step in range(4):
        (ours,), (theirs,) = twin.at(step), llada.at(step)
        assert torch.equal(ours["labels"], theirs["labels"])
        assert ours["num_items"] == theirs["num_items"]
        # A row is read from BOS on, without its last token.
        read, predicted = ours["input_ids"], ours["labels"]
        assert (read[:, 0] == BOS).all() and torch.equal(read[:, 1:], predicted[:, :-1])


def test_loss_is_that_of_llama(make_trainer):
    trainer = make_trainer(random_length_ratio=0.0)
    (batch,) = trainer.get_train_dataloader().at(0)
    rows = batch["labels"]
    rows = torch.cat([torch.full_like(rows[:, :1], BOS), rows], dim=1)
    expected = trainer.model(input_ids=rows, labels=rows).loss
    ours = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"])
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)


def test_tokens_that_were_cut_off_are_not_trained(make_trainer):
    trainer = make_trainer(random_length_ratio=1.0)
    batches = trainer.get_train_dataloader()
    batch = next(batch for step in range(20) for batch in batches.at(step) if "attention_mask" in batch)
    assert torch.equal(is_predicted(batch), batch["attention_mask"].bool()) and (batch["rates"] == 1).all()
    assert batch["num_items"] == batch["attention_mask"].sum() < batch["attention_mask"].numel()


@pytest.mark.parametrize("trainer_class", [AutoregressivePretrainer, LLaDAPretrainer])
@pytest.mark.parametrize("random_length_ratio", [0.0, 1.0])
def test_only_answers_are_predicted_where_rows_say_so(make_trainer, random_ids, trainer_class, random_length_ratio):
    rows, is_answer = random_ids(6, 12), torch.arange(12).expand(6, 12) >= 8
    trainer = make_trainer(trainer_class, random_length_ratio=random_length_ratio, tokens_per_step=96)
    trainer.train_dataset = TensorRows(rows, maskable=is_answer)
    for step in range(4):
        (batch,) = trainer.get_train_dataloader().at(step)
        is_counted = is_predicted(batch)
        assert not is_counted[:, :8].any()
        if random_length_ratio == 0.0:
            assert is_counted[:, 8:].any()
        if trainer_class is LLaDAPretrainer:
            assert torch.equal(batch["input_ids"] == trainer.model.config.mask_token_id, is_counted)


def test_evaluation_is_the_exact_likelihood(make_trainer, random_ids):
    held_out = random_ids(5, 16)
    trainer = make_trainer(eval_dataset=held_out)
    by_hand = 0.0
    for row in held_out:
        logits = trainer.model(torch.cat([torch.tensor([BOS]), row])[None]).logits[0]
        by_hand -= sum(logits[i].log_softmax(-1)[token] for i, token in enumerate(row)).item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(by_hand / held_out.numel(), rel=1e-5)


def test_learns_and_resumes_as_if_it_had_not_stopped(make_trainer, tmp_path):
    whole = make_trainer(max_steps=12)
    whole.train()
    losses = [entry["loss"] for entry in whole.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] - 0.5

    make_trainer(max_steps=12, save_strategy="steps", save_steps=6, output_dir=str(tmp_path / "pieces")).train()
    checkpoint = str(tmp_path / "pieces" / "checkpoint-6")
    resumed = make_trainer(max_steps=12, output_dir=str(tmp_path / "pieces"))
    resumed.train(resume_from_checkpoint=checkpoint)
    for name, value in whole.model.state_dict().items():
        assert torch.allclose(resumed.model.state_dict()[name], value, atol=1e-6), name
    assert find_last_checkpoint(tmp_path / "pieces").endswith("12")


def test_needs_a_bos_token(make_trainer, tiny_config):
    twin = autoregressive_twin(tiny_config(bos_token_id=None))
    with pytest.raises(ValueError, match="`model` needs `config.bos_token_id`"):
        AutoregressivePretrainer(twin, make_trainer().args)
