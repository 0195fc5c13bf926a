# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Documents that share a row and do not see each other."""

import pytest
import torch
from support.made_up_corpus import BOS, EOS, MASK
from support.token_folder import write_token_folder

from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig
from modeling_llada.training.pretraining.separate_documents import attention_within_documents, without_cut_tokens


ROWS = torch.tensor([[20, 21, EOS, BOS, 22, 23, 24, EOS], [BOS, 30, EOS, BOS, EOS, BOS, 31, 32]])
LENGTHS = [[3, 5], [3, 2, 3]]


@pytest.fixture
def trainer_of(tiny_model, tmp_path):
    def make(**changes):
        settings = {
            "max_steps": 3,
            "tokens_per_step": 32,
            "use_cpu": True,
            "disable_tqdm": True,
            "save_strategy": "no",
        }
        args = LLaDAPretrainingConfig(
            str(tmp_path), separate_documents=True, eval_num_samples=2, **(settings | changes)
        )
        model = tiny_model(bos_token_id=BOS, eos_token_id=EOS, initializer_range=0.3)
        return LLaDAPretrainer(model, args, ROWS.repeat(4, 1), ROWS)

    return make


def test_each_document_sees_itself():
    visible = attention_within_documents(ROWS, BOS)
    for row, lengths in enumerate(LENGTHS):
        blocks = [torch.ones(length, length, dtype=torch.bool) for length in lengths]
        assert torch.equal(visible[row, 0], torch.block_diag(*blocks).bool())
    cut = without_cut_tokens(visible, torch.tensor([[1] * 4 + [0] * 4, [1] * 8]))
    assert torch.equal(cut[1], visible[1]) and cut.any(-1).all(), "no position sees nothing"
    assert not cut[0, 0, :, 4:].any(), "nor what was cut off"
    assert cut[0, 0, 3].tolist() == [False] * 3 + [True] + [False] * 4


def test_the_loss_is_that_of_documents_alone(trainer_of):
    trainer = trainer_of(random_length_ratio=0.0)
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"])
    rates = torch.zeros(batch["labels"].shape).flatten()
    found = batch["masked_positions"] >= 0
    rates[batch["masked_positions"][found]] = batch["rates"][found]
    alone = 0.0
    for noisy, clean, rate in zip(batch["input_ids"], batch["labels"], rates.view(batch["labels"].shape), strict=True):
        ends = [*((clean == BOS).nonzero().flatten().tolist()), len(clean)]
        for start, end in zip([0, *ends], ends, strict=False):
            if start < end:
                logits = trainer.model(noisy[None, start:end]).logits[0].log_softmax(-1)
                costs = -logits.gather(1, clean[start:end, None])[:, 0]
                masked = noisy[start:end] == MASK
                alone += (costs[masked] / rate[start:end][masked]).sum()
    assert loss.item() == pytest.approx(alone.item() / clean.numel() / len(batch["labels"]), rel=1e-4)


def test_trains_on_cut_rows_and_evaluates_alike(trainer_of):
    trainer = trainer_of(random_length_ratio=1.0, logging_steps=1)
    across = trainer.evaluate()["eval_loss"]
    trainer.args.separate_documents = False
    assert trainer.evaluate()["eval_loss"] != pytest.approx(across, rel=1e-4)
    trainer.args.separate_documents = True
    trainer.train()
    assert all(entry["loss"] > 0 for entry in trainer.state.log_history if "loss" in entry)


def test_what_it_needs(tiny_model, tmp_path):
    args = LLaDAPretrainingConfig(str(tmp_path), max_steps=1, use_cpu=True, separate_documents=True)
    with pytest.raises(ValueError, match="`separate_documents` needs the attention implementation sdpa"):
        LLaDAPretrainer(tiny_model(attn_implementation="eager"), args, ROWS)
    model = tiny_model()
    model.config.bos_token_id = None
    with pytest.raises(ValueError, match="`model` needs `config.bos_token_id`"):
        LLaDAPretrainer(model, args, ROWS)
    with pytest.raises(ValueError, match="`separate_documents` needs a BOS token that is not EOS"):
        LLaDAPretrainer(tiny_model(bos_token_id=EOS, eos_token_id=EOS), args, ROWS)
    folder = write_token_folder(tmp_path / "tokens", train=[[20] * 2000])
    with pytest.raises(ValueError, match="`model` must have the `bos_token_id` of the corpus"):
        LLaDAPretrainer(tiny_model(bos_token_id=7, eos_token_id=EOS), args, folder)
