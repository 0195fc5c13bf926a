# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From rows to noisy batches."""

import pytest
import torch


pytest.importorskip("datasets", reason="datasets is not part of this environment")

from modeling_llada.training.masking.collator import POSITIONS_MULTIPLE, MaskingCollator
from modeling_llada.training.masking.noise import RowNoise
from modeling_llada.training.masking.row_order import NumberedRow


MASK, EOS, PAD = 98, 1, 0


def row(prompt, response, rate=0.5, index=0, end=(EOS,)):
    input_ids = [*prompt, *response, *end]
    labels = [-100] * len(prompt) + [*response, *end]
    return NumberedRow(input_ids, labels, rate, RowNoise(0, "train").generator(0, index))


def long_rows(count, rate=0.25, corruption_rate=0.0):
    """Prompts of two tokens, and responses of 400 with EOS."""
    rows = [row([5, 6], [10 + place % 80 for place in range(399)], rate, index) for index in range(count)]
    return [one._replace(corruption_rate=corruption_rate) for one in rows]


def collate(*rows, **options):
    return MaskingCollator(MASK, EOS, PAD, **options)(rows)


class TestMasking:
    def test_only_the_response_is_masked(self):
        batch = collate(row([5, 6], [7, 8, 9], rate=1.0), row([10], [11], rate=1.0))
        assert batch["input_ids"].tolist() == [[5, 6, MASK, MASK, MASK, MASK], [10, MASK, MASK, PAD, PAD, PAD]]
        assert batch["labels"].tolist() == [[-100, -100, 7, 8, 9, EOS], [-100, 11, EOS, -100, -100, -100]]
        assert batch["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
        assert batch["response_lengths"].tolist() == [4, 2]

    def test_labels_are_the_masked_tokens(self):
        batch = collate(*(row([5], range(10, 60), rate=0.3, index=i) for i in range(8)))
        masked = batch["labels"] != -100
        assert torch.equal(masked, batch["input_ids"] == MASK)
        assert 0.2 < masked[:, 1:].float().mean() < 0.4

    def test_a_mask_token_in_the_text_is_no_masked_token(self):
        batch = collate(row([MASK, 5], [MASK, 7], rate=1e-6))
        assert batch["input_ids"].tolist() == [[MASK, 5, MASK, 7, EOS]]
        assert (batch["labels"] == -100).all()

    def test_the_batch_of_a_row_changes_nothing_of_it(self):
        alone = collate(row([5], range(10, 30), index=2))
        together = collate(row([5], range(10, 60), index=1), row([5], range(10, 30), index=2))
        assert torch.equal(together["labels"][1, :22], alone["labels"][0])


class TestPositions:
    def test_are_those_of_the_masked_tokens(self):
        batch = collate(*(row([5], range(10, 60), index=i) for i in range(4)))
        positions = batch["masked_positions"]
        masked = positions[positions >= 0]
        assert len(positions) % POSITIONS_MULTIPLE == 0 and len(positions) - len(masked) < POSITIONS_MULTIPLE
        assert torch.equal(masked, (batch["labels"] != -100).flatten().nonzero().flatten())

    def test_a_batch_with_nothing_masked_has_some(self):
        assert collate(row([5], [6], rate=1e-9))["masked_positions"].tolist() == [-1] * POSITIONS_MULTIPLE


class TestPacking:
    """A row may be a list of documents."""

    packed = [row([5, 6], [7, 8], rate=1.0), row([9], [10], rate=0.5), row([], [11, 12], rate=1e-9)]

    def test_where_documents_begin(self):
        batch = collate(self.packed, row([5], [6, 7, 8], rate=1.0))
        assert batch["attention_mask"].tolist() == [[1] * 11, [1] * 5 + [0] * 6]
        assert batch["documents"].tolist() == [[0] * 5 + [1] * 3 + [2] * 3, [3] * 5 + [-1] * 6]
        assert batch["position_ids"].tolist() == [[*range(5), *range(3), *range(3)], [*range(5), *range(6)]]
        assert batch["cu_seq_lens_q"].tolist() == [0, 5, 8, 11, 16, 22]
        assert batch["cu_seq_lens_q"].dtype == torch.int32 and batch["cu_seq_lens_k"] is batch["cu_seq_lens_q"]
        assert batch["max_length_q"] == batch["max_length_k"] == 6

    def test_each_has_a_rate_and_a_response(self):
        batch = collate(self.packed, row([5], [6, 7, 8], rate=0.7))
        assert batch["rates"].tolist() == pytest.approx([1.0, 0.5, 1e-9, 0.7])
        assert batch["response_lengths"].tolist() == [3, 2, 3, 4]
        assert batch["labels"][0].tolist()[:5] == [-100, -100, 7, 8, EOS]
        assert batch["labels"][0].tolist()[8:] == [-100] * 3

    def test_masks_are_drawn_one_after_the_other(self):
        generator = RowNoise(0, "train").generator(0, 0)
        documents = [row([5], range(10, 30 + i))._replace(generator=generator) for i in range(3)]
        packed = collate(documents)["labels"][0]
        generator.set_state(RowNoise(0, "train").generator(0, 0).get_state())
        alone = [collate(document)["labels"][0] for document in documents]
        assert torch.equal(packed, torch.cat(alone))

    def test_rows_of_one_document_need_nothing_of_it(self):
        one = row([5, 6], [7, 8, 9])
        state = one.generator.get_state()
        plain = collate(one)
        one.generator.set_state(state)
        in_a_list = collate([one])
        assert "cu_seq_lens_q" not in plain
        assert plain.keys() == in_a_list.keys() and all(torch.equal(plain[name], in_a_list[name]) for name in plain)


class TestFilling:
    def test_with_eos_up_to_the_longest(self):
        batch = collate(row([5, 6], [7, 8, 9], rate=1.0), row([10], [11], rate=1.0), eos_fill="longest")
        assert batch["labels"][1].tolist() == [-100, 11, EOS, EOS, EOS, EOS]
        assert batch["attention_mask"].all()
        assert batch["response_lengths"].tolist() == [4, 5]

    def test_with_eos_up_to_a_length(self):
        batch = collate(row([5], [7, 8], rate=1.0), eos_fill=8, pad_to_multiple_of=5)
        assert batch["labels"].tolist() == [[-100, 7, 8, EOS, EOS, EOS, EOS, EOS, -100, -100]]
        assert batch["attention_mask"].tolist() == [[1] * 8 + [0] * 2]

    def test_not_behind_what_was_cut_off_or_a_last_question(self):
        cut, question = row([5], [7, 8], rate=1.0, end=()), NumberedRow([7, 8], [7, -100], 1.0, torch.Generator())
        batch = collate(cut, question, eos_fill=6)
        assert batch["response_lengths"].tolist() == [2, 1]
        assert batch["attention_mask"].sum(1).tolist() == [3, 2]

    def test_leaves_the_noise_of_the_response_alone(self):
        plain, filled = (collate(row([5], range(10, 40)), eos_fill=fill) for fill in (None, 60))
        assert torch.equal(plain["labels"][0], filled["labels"][0, :32])

    def test_with_eos_up_to_whole_blocks(self):
        batch = collate(row([5], [7, 8]), row([5, 6], [7, 8]), eos_fill="block", block_length=4)
        assert batch["clean_ids"].tolist() == [[5, 7, 8, EOS, *[PAD] * 4], [5, 6, 7, 8, EOS, EOS, EOS, EOS]]
        assert batch["response_lengths"].tolist() == [3, 6]


class TestComplements:
    def test_the_other_tokens_of_the_response(self):
        batch, alone = (collate(*long_rows(2, rate=0.3), complementary_masks=both) for both in (True, False))
        assert torch.equal(batch["labels"][::2], alone["labels"]), "the first copy is the row without the option"
        masked, is_response = batch["labels"] != -100, torch.arange(402) >= 2
        assert torch.equal(masked[::2] ^ masked[1::2], is_response.expand(2, -1))
        assert torch.equal(batch["clean_ids"][::2], batch["clean_ids"][1::2])
        assert torch.equal(batch["input_ids"] == MASK, masked)
        assert batch["rates"].tolist() == pytest.approx([0.3, 0.7, 0.3, 0.7])
        assert batch["response_lengths"].tolist() == [400] * 4
        assert batch["num_predicted"].view(2, 2).sum(1).tolist() == [400, 400]

    def test_of_documents_that_share_a_row(self):
        batch = collate([row([5], [7, 8], rate=1.0), row([6], [9], rate=0.25)], complementary_masks=True)
        assert batch["documents"].tolist() == [[0, 0, 0, 0, 2, 2, 2], [1, 1, 1, 1, 3, 3, 3]]
        assert batch["rates"].tolist() == pytest.approx([1.0, 1e-3, 0.25, 0.75]), "the weight of a copy is bounded"


class TestReplacedTokens:
    def test_all_tokens_of_the_response_are_predicted(self):
        batch = collate(*long_rows(4, corruption_rate=0.4), vocab_size=100)
        noisy, clean, masked = batch["input_ids"], batch["clean_ids"], batch["input_ids"] == MASK
        assert torch.equal(batch["labels"][:, 2:], clean[:, 2:]) and (batch["labels"][:, :2] == -100).all()
        assert torch.equal(noisy[:, :2], clean[:, :2])
        replaced = (noisy != clean) & ~masked
        assert 0.35 < replaced.sum() / (~masked[:, 2:]).sum() < 0.45
        assert noisy[replaced].min() == 0 and noisy[replaced].max() == 99
        assert batch["num_predicted"].tolist() == batch["response_lengths"].tolist() == [400] * 4

    def test_masks_are_those_without_them(self):
        plain, replaced = (collate(*long_rows(2, corruption_rate=rate), vocab_size=100) for rate in (0.0, 0.4))
        assert torch.equal(plain["input_ids"] == MASK, replaced["input_ids"] == MASK)
