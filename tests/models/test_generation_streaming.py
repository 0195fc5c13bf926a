# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Logits processors and streamers, which take part in the reverse process while it runs."""

import pytest
import torch
from support.mock_model import EOS, MASK, PROMPT, MockModel, context_script, details, peaked, scripted
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TextDiffusionStreamer,
    TextStreamer,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


class TestLogitsProcessor:
    def test_shapes(self):
        """For each masked row of the active block: its sequence, and its scores."""
        seen = []

        class Spy(LogitsProcessor):
            def __call__(self, input_ids, scores):
                seen.append((input_ids.clone(), scores.clone()))
                return scores

        prompt = torch.tensor([[2, 3, 4], [5, 6, 7]])
        model = MockModel(context_script())
        model.generate(
            prompt, max_new_tokens=4, block_length=2, logits_processor=LogitsProcessorList([Spy()]), stop_at_eos=False
        )
        assert [tuple(ids.shape) for ids, _ in seen] == [(4, 7), (2, 7)] * 2
        assert [tuple(scores.shape) for _, scores in seen] == [(4, 32), (2, 32)] * 2
        ids, scores = seen[0]
        assert ids.tolist() == [[2, 3, 4] + [MASK] * 4] * 2 + [[5, 6, 7] + [MASK] * 4] * 2
        assert scores.dtype == torch.float32
        torch.testing.assert_close(scores, context_script()(model.calls[0].input_ids)[:, 3:5].flatten(0, 1))

    def test_it_changes_proposals_and_confidences(self):
        class Ban(LogitsProcessor):
            def __call__(self, input_ids, scores):
                return scores.index_fill(1, torch.tensor([10]), -torch.inf)

        logits = peaked([0, 0, 0, 10], [0.5] * 4)
        logits[3, 20] += 1.0
        output = details(MockModel(logits), max_new_tokens=1, logits_processor=LogitsProcessorList([Ban()]))
        assert output.sequences[0, 3].item() == 20
        rest = logits[3].softmax(-1)
        assert output.trajectory[1][0, 3].item() == pytest.approx((rest[20] / (1 - rest[10])).item(), rel=1e-5)

    def test_top_k_and_top_p(self):
        """At temperature 1 a token outside the cut is never sampled; at temperature 0 the confidences are renormalised."""
        logits = peaked([0] * 3 + [10] * 40, [0.5] * 43)
        logits[:, 20] += 2.0
        logits[:, 21] += 1.0
        # Random remasking: by confidence, only the proposals of the most probable token would be committed.
        options = {"max_new_tokens": 40, "temperature": 1.0, "remasking": "random", "steps": 2}
        options["generator"] = torch.Generator().manual_seed(0)
        free = MockModel(logits).generate(PROMPT, **options)
        assert len(set(free[0, 3:].tolist()) - {10, 20, 21}) > 5
        for processor in (TopKLogitsWarper(2), TopPLogitsWarper(0.5)):
            cut = MockModel(logits).generate(PROMPT, logits_processor=[processor], **options)
            assert set(cut[0, 3:].tolist()) == {10, 20}
        greedy = details(MockModel(logits), max_new_tokens=1, logits_processor=[TopKLogitsWarper(2)])
        expected = logits[3, [10, 20]].softmax(-1)[0].item()
        assert greedy.trajectory[1][0, 3].item() == pytest.approx(expected, rel=1e-5)

    def test_it_comes_after_guidance(self):
        seen = []

        class Spy(LogitsProcessor):
            def __call__(self, input_ids, scores):
                seen.append(len(scores))
                return scores

        processors = LogitsProcessorList([Spy()])
        scripted([0.9, 0.9]).generate(PROMPT, max_new_tokens=2, cfg_scale=1.0, logits_processor=processors)
        assert seen == [2, 1]


class Recorder:
    """A streamer that writes down what it gets."""

    def __init__(self):
        self.events = []

    def put(self, value):
        self.events.append(("put", value.tolist()))

    def end(self):
        self.events.append(("end",))


class DraftRecorder(Recorder):
    def put_draft(self, value, **kwargs):
        assert not kwargs
        self.events.append(("draft", value.tolist()))


class StepRecorder(Recorder):
    takes_steps = True

    def put_draft(self, value, **kwargs):
        self.events.append(("draft", value.tolist(), kwargs))


class TestStreamer:
    def test_confirmed_blocks(self):
        streamer = Recorder()
        scripted([0.9, 0.8, 0.7]).generate(PROMPT, max_new_tokens=3, block_length=2, streamer=streamer)
        # 1-D for each block: a 2-D one would be counted as one token by `transformers serve`.
        assert streamer.events == [("put", [[2, 3, 4]]), ("put", [10, 11]), ("put", [12]), ("end",)]

    def test_drafts(self):
        streamer = DraftRecorder()
        scripted([0.9, 0.8, 0.7]).generate(PROMPT, max_new_tokens=3, block_length=2, streamer=streamer)
        assert streamer.events == [
            ("put", [[2, 3, 4]]),
            ("draft", [[10, MASK, MASK]]),
            ("draft", [[10, 11, MASK]]),
            ("put", [10, 11]),
            ("draft", [[12]]),
            ("put", [12]),
            ("end",),
        ]

    def test_masks_of_the_prompt(self):
        """Each position is put once: the prompt when it is filled, and until then the draft is the whole canvas."""
        streamer = DraftRecorder()
        prompt = torch.tensor([[2, MASK, 4, MASK]])
        model = scripted([0.9], [14], prompt_length=4)
        model.generate(prompt, max_new_tokens=1, streamer=streamer)
        assert streamer.events == [
            ("draft", [[2, 0, 4, MASK, MASK]]),
            ("draft", [[2, 0, 4, 0, MASK]]),
            ("put", [[2, 0, 4, 0]]),
            ("draft", [[14]]),
            ("put", [14]),
            ("end",),
        ]

    def test_batches(self):
        streamer = DraftRecorder()
        prompt = torch.tensor([[2, 3], [4, 5]])
        scripted([0.9, 0.8], prompt_length=2).generate(prompt, max_new_tokens=2, streamer=streamer)
        assert streamer.events == [
            ("put", [[2, 3], [4, 5]]),
            ("draft", [[10, MASK], [10, MASK]]),
            ("draft", [[10, 11], [10, 11]]),
            ("put", [[10, 11], [10, 11]]),
            ("end",),
        ]

    def test_steps_confidences_and_alternatives(self):
        streamer = StepRecorder()
        logits = peaked([0, 0, 0, 10, 11], [0.5] * 3 + [0.6, 0.8])
        logits[:, 20] += 1.0
        logits[:, 21] += 0.5
        MockModel(logits).generate(PROMPT, max_new_tokens=2, streamer=streamer)
        drafts = [event for event in streamer.events if event[0] == "draft"]
        assert [event[1] for event in drafts] == [[[MASK, 11]], [[10, 11]]]
        assert [event[2]["step"] for event in drafts] == [0, 1]
        assert drafts[0][2]["top_tokens"].tolist() == [[[10, 20, 21], [11, 20, 21]]]
        assert drafts[1][2]["top_tokens"].tolist() == [[[10, 20, 21], [-1, -1, -1]]]
        assert "top_probabilities" not in drafts[0][2]  # only for streamers that ask for them
        confidence = drafts[0][2]["confidence"][0]
        assert confidence[0].isnan() and confidence[1] == pytest.approx(logits[4].softmax(-1)[11].item())

    def test_probabilities_of_the_alternatives(self):
        streamer = StepRecorder()
        streamer.takes_probabilities = True
        logits = peaked([0, 0, 0, 10, 11], [0.5] * 3 + [0.6, 0.8])
        logits[:, 20] += 1.0
        MockModel(logits).generate(PROMPT, max_new_tokens=2, streamer=streamer)
        first, second = (event[2] for event in streamer.events if event[0] == "draft")
        for draft, committed, other in ((first, 1, 0), (second, 0, 1)):
            known, best = draft["top_probabilities"][0], draft["top_tokens"][0, committed]
            torch.testing.assert_close(known[committed], logits[3 + committed].softmax(-1)[best])
            assert known[committed, 0] == pytest.approx(draft["confidence"][0, committed].item())
            assert known[other].isnan().all()

    def test_no_alternatives_where_tokens_are_ruled_out(self):
        streamer = StepRecorder()
        model = scripted([0.9])
        model.generate(PROMPT, max_new_tokens=1, streamer=streamer, logits_processor=[TopKLogitsWarper(1)])
        assert streamer.events[1][2]["top_tokens"].tolist() == [[[10, -1, -1]]]

    def test_a_vocabulary_of_two_tokens(self):
        streamer = StepRecorder()
        none = dict.fromkeys(("bos_token_id", "eos_token_id", "eot_token_id", "pad_token_id"))
        model = MockModel(lambda input_ids: torch.zeros(*input_ids.shape, 2), vocab_size=2, mask_token_id=1, **none)
        model.generate(torch.zeros(1, 1).long(), max_new_tokens=1, stop_at_eos=False, streamer=streamer)
        assert streamer.events[1][2]["top_tokens"].tolist() == [[[0, -1, -1]]]

    @pytest.mark.parametrize("streamer_class", [TextStreamer, TextDiffusionStreamer])
    def test_the_streamers_of_transformers(self, capsys, streamer_class):
        class Tokenizer:
            def decode(self, token_ids, **kwargs):
                return "".join("_" if int(i) == MASK else chr(ord("a") + int(i) - 10) for i in token_ids)

        streamer = streamer_class(Tokenizer(), skip_prompt=True)
        scripted([0.5, 0.9, 0.7, 0.8]).generate(PROMPT, max_new_tokens=4, block_length=2, streamer=streamer)
        printed = capsys.readouterr().out
        if streamer_class is TextStreamer:
            assert printed == "abcd\n"
        else:
            assert "_b__" in printed and "\033[33m" in printed and printed.rstrip().endswith("cd")

    def test_nothing_follows_when_all_rows_have_ended(self):
        streamer = Recorder()
        model = scripted([0.9, 0.8, 0.7, 0.6], tokens=[10, EOS, 12, 13])
        model.generate(PROMPT, max_new_tokens=4, block_length=2, streamer=streamer)
        assert streamer.events == [("put", [[2, 3, 4]]), ("put", [10, EOS]), ("end",)]
