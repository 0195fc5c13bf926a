# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From documents to training batches: corpus, rows, noise."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.made_up_corpus import (
    BOS,
    COMMA,
    ENTRIES,
    EOS,
    FIRST_CHARACTER,
    MASK,
    QUESTION,
    STOP,
    copies_of,
    corpus_of,
    documents_of,
    made_up_poem,
    made_up_split,
)

from modeling_llada.training import Corpus, RowEntry, RowMixture, lay_out, tokenize_documents
from modeling_llada.training.pretraining.batches import TrainingBatches
from modeling_llada.training.pretraining.corpus import special_token_ids


class TestCorpus:
    @pytest.mark.parametrize("suffix", [".safetensors", ".safetensors.xz"])
    def test_round_trip(self, corpus, tmp_path, suffix):
        path = tmp_path / f"corpus{suffix}"
        corpus.save(path)
        loaded = Corpus.load(path)
        assert {key: value for key, value in vars(loaded).items() if key != "splits"} == {
            key: value for key, value in vars(corpus).items() if key != "splits"
        }
        for name, split in corpus.splits.items():
            for key, value in vars(split).items():
                assert np.array_equal(value, getattr(loaded.splits[name], key))
                assert value.dtype == getattr(loaded.splits[name], key).dtype

    def test_tokenize_documents(self):
        class Characters:
            def __len__(self):
                return 200

            def __call__(self, texts, add_special_tokens):
                assert not add_special_tokens
                return {"input_ids": [[ord(character) for character in text] for text in texts]}

        documents = tokenize_documents(["abc", "de", "f"], [["x\n", "y\n"], [], ["z\n"]], Characters(), batch_size=2)
        assert documents.tokens.tolist() == [97, 98, 99, 100, 101, 102] and documents.lengths.tolist() == [3, 2, 1]
        assert documents.header_lengths.tolist() == [2, 0, 2] and documents.header_tokens.tolist()[2:] == [122, 10]
        assert documents.tokens.dtype == np.uint16
        again = tokenize_documents(["abc"], [["x\n", "y\n"]], Characters())
        assert again.header_tokens.tolist() == documents.header_tokens.tolist()[:2]

    def test_a_damaged_file(self, tmp_path):
        for name in ("corpus.safetensors", "corpus.safetensors.xz"):
            (tmp_path / name).write_bytes(b"no corpus")
            with pytest.raises(ValueError, match=f"{name} is none, or is damaged"):
                Corpus.load(tmp_path / name)

    def test_a_tokenizer_without_special_tokens(self):
        tokenizer = SimpleNamespace(mask_token_id=None, bos_token_id=None, eos_token_id=0)
        with pytest.raises(ValueError, match="has no mask_token, bos_token. Call `tokenizer.add_"):
            special_token_ids(tokenizer)
        with pytest.raises(ValueError, match="`mask_token_id` must be the id of a token, but got None. Call"):
            Corpus({}, 99, bos_token_id=0, eos_token_id=1, mask_token_id=None)

    def test_each_document_is_laid_out_bare_and_headed(self):
        texts, headers = [[10, 11], [20, 21, 22], [30]], [[5, 6], [], [7]]
        layout = lay_out(documents_of(texts, headers), BOS, EOS, seed=None)
        copies = [[BOS, *text, EOS] for text in texts] + [
            [BOS, *header, *text, EOS] for header, text in zip(headers, texts, strict=True)
        ]
        assert layout.tokens.tolist() == [token for copy in copies for token in copy]
        assert copies_of(layout) == [copy[1:] for copy in copies]

    def test_shuffled_layout_holds_the_same_documents(self, corpus):
        documents = corpus.splits["train"]
        first, second = (lay_out(documents, BOS, EOS, seed=seed) for seed in (0, 1))
        first_cut, second_cut = ([tuple(row) for row in copies_of(layout)] for layout in (first, second))
        assert first_cut != second_cut and sorted(first_cut) == sorted(second_cut)
        offsets = np.cumsum(documents.lengths) - documents.lengths
        for layout in (first, second):
            for offset, length, start in zip(offsets, documents.lengths, layout.text_starts, strict=True):
                assert np.array_equal(
                    documents.tokens[offset : offset + length], layout.tokens[start : start + length]
                )
                assert layout.tokens[start - 1] == BOS and layout.tokens[start + length] == EOS


class TestRows:
    def rows(self, mixture, kind, width, count=400):
        entry = next(entry for entry in mixture.entries if (entry.kind, entry.width) == (kind, width))
        return mixture.draw(entry, count, torch.Generator().manual_seed(0)).tolist()

    def lines(self, tokens):
        """Splits at line ends; fails if something follows the last of them."""
        lines, line = [], []
        for token in tokens:
            line.append(token)
            if token in (COMMA, STOP, QUESTION):
                lines.append(line)
                line = []
        assert not line
        return lines

    def without_tail(self, row):
        text = row[: row.index(EOS)] if EOS in row else row
        assert all(token == EOS for token in row[len(text) :])
        return text

    def test_windows_are_windows(self, mixture):
        run = mixture.tokens.tolist()
        joined = " ".join(map(str, run))
        rows = self.rows(mixture, "windows", 32, 50)
        assert all(" ".join(map(str, row)) in joined for row in rows)
        assert any(BOS in row for row in rows) and not any(MASK in row for row in rows)

    def test_documents_are_whole_without_bos_and_end_with_eos(self, mixture, corpus):
        whole = set()
        for split in ("train", "famous"):
            whole |= {tuple(copy) for copy in copies_of(lay_out(corpus.splits[split], BOS, EOS))}
        rows = self.rows(mixture, "documents", 48)
        assert all(row[-1] == EOS and (*self.without_tail(row), EOS) in whole for row in rows)
        assert any(row[0] < FIRST_CHARACTER for row in rows) and any(row[0] >= FIRST_CHARACTER for row in rows)

    def test_spans_are_two_to_four_whole_lines(self, mixture, corpus):
        counts = set()
        texts = " ".join(map(str, [*corpus.splits["train"].tokens, *corpus.splits["famous"].tokens]))
        for row in self.rows(mixture, "spans", 32):
            text = self.without_tail(row)
            lines = self.lines(text)
            counts.add(len(lines))
            assert {len(line) for line in lines} in ({6}, {8})
            assert " ".join(map(str, text)) in texts
        assert counts == {2, 3, 4}

    def test_exact_rows_have_no_tail_and_are_couplets(self, mixture):
        for row in self.rows(mixture, "exact", 12):
            lines = self.lines(row)
            assert [len(line) for line in lines] == [6, 6]
            assert lines[0][-1] == COMMA and lines[1][-1] in (STOP, QUESTION)
            assert min(row) >= COMMA and not any(5 <= token < FIRST_CHARACTER for token in row)

    def test_exact_rows_follow_a_sentence(self):
        # Lines 2 and 3 of a quatrain are of equal length too, but line 1 ends with a comma.
        rng = random.Random(0)
        poems = [made_up_poem(rng, width=5, lines=4) for _ in range(3)]
        phases = [{"fraction": 1, "entries": [{"kind": "exact", "width": 12, "share": 1}]}]
        mixture = RowMixture(corpus_of({"train": documents_of(poems)}), phases)
        drawn = {tuple(row) for row in self.rows(mixture, "exact", 12)}
        assert drawn == {tuple(poem[start : start + 12]) for poem in poems for start in (0, 12)}

    def test_the_famous_share_of_a_batch(self, mixture):
        entry = RowEntry("exact", 12, share=1.0, famous=0.3)
        generator = torch.Generator().manual_seed(0)
        famous = RowMixture(
            corpus_of({"famous": made_up_split(20, 1)}), [{"fraction": 1, "entries": [{**vars(entry), "famous": 1}]}]
        )
        known = {tuple(row) for row in famous.draw(famous.entries[0], 2000, generator).tolist()}
        rows = mixture.draw(entry, 50, generator).tolist()
        assert [tuple(row) in known for row in rows] == [False] * 35 + [True] * 15

    def test_phases_and_shares_follow_the_step(self, corpus):
        phases = [
            {"fraction": 0.7, "entries": [ENTRIES[0], {**ENTRIES[1], "share": 0.1}]},
            {"fraction": 0.3, "entries": [ENTRIES[3]]},
        ]
        mixture = RowMixture(corpus, phases)
        kinds = [mixture.entry_at(step, 1000, seed=3).kind for step in range(1000)]
        assert set(kinds[:700]) == {"windows", "documents"} and set(kinds[700:]) == {"exact"}
        assert kinds[:700].count("documents") == pytest.approx(140, abs=40)
        assert kinds == [mixture.entry_at(step, 1000, seed=3).kind for step in range(1000)]
        assert kinds != [mixture.entry_at(step, 1000, seed=4).kind for step in range(1000)]

    def test_errors(self, corpus):
        with pytest.raises(ValueError, match="`kind`"):
            RowEntry("poems", 12, 1.0)
        with pytest.raises(ValueError, match="`width`"):
            RowEntry("exact", 1, 1.0)
        with pytest.raises(ValueError, match="`share`"):
            RowEntry("exact", 12, 1.0, famous=2)
        with pytest.raises(ValueError, match="`entries`"):
            RowMixture(corpus, [{"fraction": 1.0, "entries": []}])
        with pytest.raises(ValueError, match="exact rows of width 13 of the train split"):
            RowMixture(corpus, [{"fraction": 1.0, "entries": [{"kind": "exact", "width": 13, "share": 1}]}])


class TestBatches:
    def batches(self, mixture, **changes):
        settings = {"mask_token_id": MASK, "max_steps": 40, "tokens_per_step": 768, "device": "cpu", "seed": 1}
        return TrainingBatches(mixture, **(settings | {"random_length_ratio": 0.0} | changes))

    def masked(self, batch):
        """The masked positions of a batch and the rates of their rows."""
        is_masked = batch["masked_positions"] >= 0
        return batch["masked_positions"][is_masked], batch["rates"][is_masked]

    def test_noise_is_a_function_of_seed_and_step(self, mixture):
        first, again, other = self.batches(mixture), self.batches(mixture), self.batches(mixture, seed=2)
        for step in (7, 3, 7):  # in any order
            assert torch.equal(first.at(step)[0]["input_ids"], again.at(step)[0]["input_ids"])
        differ = [
            first.at(step)[0]["input_ids"].tolist() != other.at(step)[0]["input_ids"].tolist() for step in range(9)
        ]
        assert all(differ)

    def test_iteration_starts_where_training_stands(self, mixture):
        batches = self.batches(mixture, first_step=lambda: 37)
        seen = list(batches)
        assert len(seen) == 3 and len(batches) == 40
        assert torch.equal(seen[0]["input_ids"], batches.at(37)[0]["input_ids"])

    @pytest.mark.parametrize("parts", [(2, 1), (1, 2), (4, 2)])
    def test_parts_make_up_the_global_batch(self, mixture, parts):
        accumulation, processes = parts
        whole = self.batches(mixture)
        for step in range(6):
            cut = [
                part
                for index in range(processes)
                for part in self.batches(
                    mixture, accumulation_steps=accumulation, num_processes=processes, process_index=index
                ).at(step)
            ]
            assert len(cut) == accumulation * processes
            for key in ("input_ids", "labels"):
                assert torch.equal(torch.cat([part[key] for part in cut]), whole.at(step)[0][key])
            rates = [self.masked(part)[1] for part in cut]
            assert torch.equal(torch.cat(rates), self.masked(whole.at(step)[0])[1])
            assert {part["num_items"] for part in cut} == {768}

    def test_the_rates_of_a_step_are_evenly_spread(self, mixture):
        batch = self.batches(mixture).at(0)[0]
        rates = batch["rates"][batch["masked_positions"] >= 0].unique()
        rows = len(batch["input_ids"])
        strata = (rates * rows - 1e-3).ceil()
        assert strata.unique().numel() == strata.numel() >= rows - 2  # a row of the lowest rates may have no mask

    def test_every_masked_position_is_there_in_static_shapes(self, mixture):
        batches, shapes = self.batches(mixture), {}
        for step in range(40):
            batch = batches.at(step)[0]
            masked = (batch["input_ids"] == MASK).flatten().nonzero().flatten()
            assert torch.equal(self.masked(batch)[0], masked)
            assert torch.equal(batch["labels"].flatten()[masked] == MASK, torch.zeros_like(masked, dtype=torch.bool))
            shapes.setdefault(batch["input_ids"].shape, set()).add(batch["masked_positions"].shape)
        assert len(shapes) == 3 and all(len(counts) == 1 for counts in shapes.values())
        assert batches.num_dropped == 0

    def test_slots_are_about_half_of_a_large_batch(self, mixture):
        batches = self.batches(mixture, tokens_per_step=98_304)
        assert 98_304 / 2 < batches.num_slots(768, 128) < 0.52 * 98_304

    def test_overflowing_positions_are_counted(self, mixture, monkeypatch):
        batches = self.batches(mixture)
        monkeypatch.setattr(batches, "num_slots", lambda rows, width: 128)
        batch = batches.at(0)[0]
        assert batch["masked_positions"].shape == (128,) and (batch["masked_positions"] >= 0).all()
        assert batches.num_dropped > 0

    def test_some_window_steps_cut_their_rows(self, mixture):
        batches = self.batches(mixture, random_length_ratio=1.0)
        kinds = {}
        for step in range(40):
            batch = batches.at(step)[0]
            kinds.setdefault(mixture.entry_at(step, 40, 1).kind, []).append(batch)
        assert all("attention_mask" not in batch for kind in ("documents", "exact") for batch in kinds[kind])
        for batch in kinds["windows"]:
            mask = batch["attention_mask"].bool()
            lengths = mask.sum(1)
            assert batch["input_ids"].shape == (24, 32)  # the same shape as uncut
            assert lengths.min() >= 1 and lengths.unique().numel() > 5
            assert torch.equal(mask, torch.arange(32) < lengths[:, None])
            assert batch["num_items"] == mask.sum()
            assert not (batch["input_ids"] == MASK)[~mask].any()
        all_lengths = torch.cat([batch["attention_mask"].sum(1) for batch in kinds["windows"]]).float()
        assert all_lengths.mean().item() == pytest.approx(16.5, abs=1.5)

    def test_one_percent_of_the_window_steps_by_default(self, mixture):
        batches = TrainingBatches(mixture, mask_token_id=MASK, max_steps=3000, tokens_per_step=768, device="cpu")
        cut = sum("attention_mask" in batches.at(step)[0] for step in range(3000))
        assert 2 <= cut <= 30  # 1% of 40% of 3000 = 12

    def test_rows_that_do_not_divide_are_an_error(self, mixture):
        with pytest.raises(ValueError, match="`tokens_per_step`"):
            self.batches(mixture, tokens_per_step=16)
        with pytest.raises(ValueError, match="`tokens_per_step`.*Choose a multiple"):
            self.batches(mixture, accumulation_steps=5)
