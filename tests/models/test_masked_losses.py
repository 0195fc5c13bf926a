# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`model(..., masked_positions=...)`: the losses of masked tokens, without a tensor of the size of all logits."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


BATCH, LENGTH, VOCAB = 4, 32, 99


class LargestTensor(TorchDispatchMode):
    """Records how many elements the largest tensor has that any operation makes."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return result


@pytest.fixture
def batch(random_ids):
    """Labels on about half of the positions, and where they are."""
    labels = random_ids(BATCH, LENGTH).masked_fill(random_ids(BATCH, LENGTH, seed=1) < 50, -100)
    positions = (labels != -100).flatten().nonzero().flatten()
    return {
        "input_ids": random_ids(BATCH, LENGTH).masked_fill(labels != -100, 98),
        "labels": labels,
        "masked_positions": F.pad(positions, (0, -len(positions) % 16), value=-1),
    }


def dense_losses(model, batch):
    """The losses from the logits of every position, which those of the chunks must equal."""
    logits = model(input_ids=batch["input_ids"]).logits
    return F.cross_entropy(logits.transpose(1, 2), batch["labels"], reduction="none")


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("chunk_size", [1, 7, 1000, None])
def test_equals_all_logits(tiny_model, batch, tied, chunk_size):
    model = tiny_model(tie_word_embeddings=tied).train()
    expected = dense_losses(model, batch)
    expected_gradients = gradients(model, (expected * torch.arange(LENGTH)).sum())

    outputs = model(**batch, loss_chunk_size=chunk_size)
    positions = batch["masked_positions"]
    valid = positions >= 0
    torch.testing.assert_close(outputs.losses[valid], expected.flatten()[positions[valid]])
    assert not outputs.losses[~valid].any() and not outputs.correct[~valid].any()
    got = gradients(model, (outputs.losses * (positions.clamp(min=0) % LENGTH)).sum())
    for name, gradient in expected_gradients.items():
        # The order of the sums differs, and small entries are sums of large ones.
        atol = 1e-5 * gradient.abs().max().item()
        torch.testing.assert_close(got[name], gradient, rtol=1e-4, atol=atol, msg=lambda text, n=name: f"{n}: {text}")


def test_correct_is_argmax(tiny_model, batch):
    model = tiny_model()
    with torch.no_grad():
        best = model(batch["input_ids"]).logits.argmax(-1)
        outputs = model(**(batch | {"labels": best}))
        assert outputs.correct[batch["masked_positions"] >= 0].all()
        outputs = model(**(batch | {"labels": (best + 1) % VOCAB}))
        assert not outputs.correct.any()


@pytest.mark.parametrize("grad", [True, False])
def test_no_tensor_has_the_size_of_all_logits(tiny_model, batch, grad):
    model = tiny_model(vocab_size=4000).train()
    with LargestTensor() as largest, torch.set_grad_enabled(grad):
        loss = model(**batch, loss_chunk_size=16).losses.sum()
        if grad:
            loss.backward()
    assert largest.numel == max(model.config.hidden_size, 16) * 4000, "the weights of the head, or a chunk"
    assert largest.numel < len(batch["masked_positions"]) * 4000 < BATCH * LENGTH * 4000

    with LargestTensor() as largest:
        dense_losses(model, batch)
    assert largest.numel == BATCH * LENGTH * 4000, "the test would see it"


def test_the_likelihood_has_no_such_tensor(tiny_model, random_ids):
    model = tiny_model(vocab_size=500, max_position_embeddings=2048)
    text = random_ids(1, 2000)
    with LargestTensor() as largest:
        model.log_likelihood(text, text, num_samples=2, generator=torch.Generator().manual_seed(0))
    assert largest.numel == 1024 * 500, "the logits of a chunk"


def test_nothing_masked_is_a_zero_with_gradients(tiny_model, batch):
    model = tiny_model().train()
    loss = model(**(batch | {"masked_positions": torch.full((16,), -1)})).losses.sum()
    assert loss.item() == 0
    assert all((gradient == 0).all() for gradient in gradients(model, loss).values())


@pytest.mark.parametrize("changes", [{"labels": None}, {"query_positions": torch.arange(4)}])
def test_needs_labels_and_all_positions(tiny_model, batch, changes):
    with pytest.raises(ValueError, match="`masked_positions` needs `labels`, .* and no `query_positions`"):
        tiny_model()(**(batch | changes))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", torch.zeros(BATCH * LENGTH, dtype=torch.long)),
        ("labels", torch.zeros(BATCH, 1, dtype=torch.long)),
        ("masked_positions", torch.zeros(BATCH, LENGTH, dtype=torch.bool)),
        ("masked_positions", torch.tensor([0.5])),
        ("masked_positions", [1]),
        ("loss_chunk_size", 0),
        ("loss_chunk_size", 1.5),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_are_refused_before_the_forward_pass(tiny_model, batch, monkeypatch, name, value):
    model = tiny_model()
    monkeypatch.setattr(model.model, "forward", lambda *args, **kwargs: pytest.fail("a forward pass"))
    with pytest.raises(ValueError, match=f"`{name}`"):
        model(**(batch | {name: value}))


def test_bfloat16_autocast_scores_in_float32(tiny_model, batch):
    model = tiny_model().train()
    expected = model(**batch).losses
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(**batch).losses
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, expected, rtol=0.1, atol=0.1)


def test_gradient_checkpointing_changes_nothing(tiny_model, batch):
    results = []
    for checkpointing in (False, True):
        model = tiny_model().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        results.append(gradients(model, model(**batch, loss_chunk_size=16).losses.sum()))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


@pytest.mark.parametrize("chunk_size", [7, None])
def test_entropies(tiny_model, batch, chunk_size):
    model = tiny_model().train()
    outputs = model(**batch, loss_chunk_size=chunk_size, loss_entropies=True)
    logits = model(input_ids=batch["input_ids"]).logits.flatten(0, 1)[batch["masked_positions"].clamp(min=0)]
    torch.testing.assert_close(outputs.entropies, torch.distributions.Categorical(logits=logits).entropy())
    outputs.entropies.sum().backward()
    assert model.lm_head.weight.grad.abs().sum() > 0
    assert model(**batch).entropies is None
