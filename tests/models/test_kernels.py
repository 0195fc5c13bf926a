# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Fused modules: the same result from fewer kernels, swapped in from outside and put back."""

import copy
import threading

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from modeling_llada.models.kernels_llada import Kernels, fuse, fuse_weights, fused


@pytest.fixture
def model(tiny_model):
    return tiny_model()


def names_of_attributes(model):
    return [set(vars(module)) for module in model.modules()]


@pytest.fixture
def linears_called(model):
    """The names of the linear modules that ran by themselves."""
    names = set()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda *_, name=name: names.add(name.rpartition(".")[2]))
    return names


class TestFused:
    """The modules of a model with other methods, for a while and in one thread."""

    def test_same_logits_from_fewer_products(self, model, random_ids, linears_called):
        ids = random_ids(2, 20)
        with torch.no_grad():
            expected = model(ids).logits
            linears_called.clear()
            with fused(model, Kernels()):
                logits = model(ids).logits
            assert linears_called == {"o_proj", "down_proj", "lm_head"}
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
            assert torch.equal(model(ids).logits, expected)

    def test_the_methods_are_put_back(self, model):
        before = names_of_attributes(model)
        with fused(model, Kernels()):
            assert names_of_attributes(model) != before
        assert names_of_attributes(model) == before
        with pytest.raises(RuntimeError), fused(model, Kernels()):
            raise RuntimeError
        assert names_of_attributes(model) == before

    def test_a_method_that_somebody_else_has_set_is_put_back(self, model, random_ids):
        norm = model.model.norm
        own = norm.forward = lambda hidden_states: hidden_states
        expected = model(random_ids(1, 8)).logits
        with fused(model, Kernels()):
            assert norm.forward is not own
        assert norm.forward is own and torch.equal(model(random_ids(1, 8)).logits, expected)

    def test_another_thread_does_not_notice(self, model, random_ids):
        """It may be in the middle of a forward pass of its own, with a gradient even."""
        ids, results = random_ids(2, 12), []
        expected = model(ids).logits
        with fused(model, Kernels()):
            thread = threading.Thread(target=lambda: results.append(model(ids).logits))
            thread.start()
            thread.join()
        assert torch.equal(results[0], expected)
        results[0].sum().backward()

    def test_quantized_weights_are_left_alone(self, model, random_ids, linears_called):
        from torchao import quantization

        quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
        types = [type(parameter.data) for parameter in model.parameters()]
        expected = model(random_ids(1, 8)).logits
        linears_called.clear()
        with fused(model, Kernels()):
            torch.testing.assert_close(model(random_ids(1, 8)).logits, expected, rtol=1e-4, atol=1e-4)
        assert "q_proj" in linears_called
        assert [type(parameter.data) for parameter in model.parameters()] == types


class TestFuseWeights:
    """Weights of projections with the same input become views of one storage, and stay what they are otherwise."""

    @staticmethod
    def fuse_all(model):
        fuse_weights(model)
        return model

    def test_one_storage(self):
        linears = [nn.Linear(5, rows, bias=False) for rows in (4, 2, 2)]
        weights = [linear.weight for linear in linears]
        expected, objects = torch.cat([weight.data for weight in weights]), [id(weight) for weight in weights]
        whole = fuse(linears)
        assert torch.equal(whole, expected)
        assert [id(weight) for weight in weights] == objects and all(weight.requires_grad for weight in weights)
        for weight, start in zip(weights, (0, 4, 6), strict=True):
            assert weight.data_ptr() == whole[start].data_ptr()
            assert weight.is_contiguous()

    def test_a_second_time_nothing_moves(self):
        linears = [nn.Linear(5, rows, bias=False) for rows in (4, 2, 2)]
        weights = [linear.weight for linear in linears]
        whole = fuse(linears)
        with torch.no_grad():
            weights[1].fill_(7.0)
        again = fuse(linears)
        assert again.data_ptr() == whole.data_ptr() and again.shape == (8, 5)
        assert (again[4:6] == 7.0).all()

    def test_views_of_one_storage_in_another_order(self):
        """One storage is not enough: the order counts."""
        whole, first, second = torch.randn(8, 5), nn.Linear(5, 4, bias=False), nn.Linear(5, 4, bias=False)
        first.weight.data, second.weight.data = whole[4:], whole[:4]
        assert torch.equal(fuse([first, second]), whole.roll(4, dims=0))
        assert torch.equal(first.weight, whole[4:]) and torch.equal(second.weight, whole[:4])

    def test_parameters_keep_names_objects_and_values(self, model):
        before = {name: (id(value), value.detach().clone()) for name, value in model.named_parameters()}
        self.fuse_all(model)
        after = dict(model.named_parameters())
        assert list(after) == list(before)
        for name, (identity, value) in before.items():
            assert id(after[name]) == identity and torch.equal(after[name], value)
        attention, mlp = model.model.layers[0].self_attn, model.model.layers[0].mlp
        assert (
            attention.q_proj.weight.untyped_storage().data_ptr()
            == attention.v_proj.weight.untyped_storage().data_ptr()
        )
        assert mlp.gate_proj.weight.untyped_storage().data_ptr() == mlp.up_proj.weight.untyped_storage().data_ptr()

    def test_no_memory_is_added(self, model):
        def num_bytes():
            storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}
            return sum(storages.values())

        before = num_bytes()
        self.fuse_all(model)
        assert num_bytes() == before

    def test_files_are_the_same_bit_for_bit(self, model, tmp_path):
        model.save_pretrained(tmp_path / "before")
        self.fuse_all(model).save_pretrained(tmp_path / "after")
        before, after = ((tmp_path / folder / "model.safetensors").read_bytes() for folder in ("before", "after"))
        assert before == after
        assert len(load_file(tmp_path / "after" / "model.safetensors")) == len(model.state_dict())

    def test_a_copy_and_a_state_dict_can_be_loaded(self, model, tiny_model):
        state = copy.deepcopy(self.fuse_all(model).state_dict())
        other = self.fuse_all(tiny_model())
        other.load_state_dict({name: value * 2 for name, value in state.items()})
        duplicate = copy.deepcopy(other)
        for name, value in duplicate.named_parameters():
            assert torch.equal(value, state[name] * 2)
        with torch.no_grad():
            duplicate.model.layers[0].mlp.up_proj.weight.zero_()
        assert other.model.layers[0].mlp.up_proj.weight.any()

    def test_training_goes_on(self, model, random_ids):
        """The parameters are leaves with gradients of their own, and an optimizer moves what the product reads."""
        ids, optimizer = random_ids(2, 12), torch.optim.AdamW(model.parameters(), lr=0.01)
        self.fuse_all(model)
        model.train()(ids, labels=ids).loss.backward()
        assert all(parameter.is_leaf and parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        attention = model.model.layers[0].self_attn
        linears = [attention.q_proj, attention.k_proj, attention.v_proj]
        assert torch.equal(fuse(linears), torch.cat([linear.weight.data for linear in linears]))

    def test_adapters_are_left_alone(self, model):
        peft.get_peft_model(model, peft.LoraConfig(target_modules=["k_proj", "gate_proj"]))
        pointers = [parameter.data_ptr() for parameter in model.parameters()]
        self.fuse_all(model)
        assert [parameter.data_ptr() for parameter in model.parameters()] == pointers

    def test_weights_of_two_dtypes_are_left_alone(self, model):
        model.model.layers[0].self_attn.k_proj.to(torch.bfloat16)
        self.fuse_all(model)
        attention = model.model.layers[0].self_attn
        assert attention.k_proj.weight.dtype == torch.bfloat16 and attention.q_proj.weight.dtype == torch.float32
