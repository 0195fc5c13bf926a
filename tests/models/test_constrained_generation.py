# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`generate(constraint=...)`: every answer is in the language, under random valid combinations of the options."""

import math
import re
from collections import Counter
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from support import mock_model
from support.generate_calls import EOS, EOT, MASK, NO_EDITS, PAD, VOCAB_SIZE, calls, letters
from support.llada_v import EOS as EOS_OF_LLADA_V
from support.llada_v import EOT as EOT_OF_LLADA_V
from support.llada_v import golden_llada_v
from support.mock_model import PROMPT, MockModel, details
from support.tiny_llada2 import tiny_llada2

from modeling_llada import Constraint, ILLaDAConfig, ILLaDAForMaskedLM, LLaDAMoeConfig, LLaDAMoeForMaskedLM
from modeling_llada.models.blocks_llada import BlockGeometry
from modeling_llada.models.constraints_llada import TokenAutomaton


pytest.importorskip("outlines_core", reason="needs the extra `constraints`")

# Of the letters `a` to `x`; `t` to `x` are special tokens in the models.
LETTERS = st.sampled_from(["a", "b", "c", "[a-s]", "[^a-ct-x]", "[d-m]"])
PATTERNS = st.recursive(
    LETTERS | st.sampled_from(["", "abc", "[a-e]{1,3}(f[a-e]{1,3})*g", "(abc|abd|bcd|q)*", "a{4}|b{9}"]),
    lambda parts: (
        st.tuples(parts, parts).map("".join)
        | st.tuples(parts, parts).map(lambda pair: f"({pair[0]}|{pair[1]})")
        | st.tuples(parts, st.sampled_from(["*", "+", "?", "{2,3}"])).map(lambda pair: f"({pair[0]}){pair[1]}")
    ),
    max_leaves=5,
)
UNTOUCHED = {"logits_processor": None, "stopping_criteria": None, "stop_strings": None, "tokenizer": None}
TOKENS = {"eos_token_id": EOS, "eot_token_id": EOT, "pad_token_id": PAD, "logits_eos_inf": False}
AUTOMATON = ("token_class", "table", "accepting")
GEOMETRIES = [
    BlockGeometry(),
    BlockGeometry(block_alignment="absolute"),
    BlockGeometry(block_alignment="absolute", sees_suffix=False, attention="block_causal"),
]


def constraint_of(pattern: str) -> Constraint:
    return Constraint.from_regex(pattern, letters())


def text_of(answer: torch.LongTensor) -> str:
    """The letters of an answer before its end, which nothing but ends and pads may follow."""
    text = "".join(chr(ord("a") + token) for token in answer.tolist())
    body = re.match("[a-s]*", text)[0]
    assert re.fullmatch("([wv][uvw]*)?", text[len(body) :]), text
    return body


@st.composite
def constrained_calls(draw):
    """A call with a pattern, or `None`, for each prompt, in which a text of each pattern fits."""
    call = draw(calls()).with_options(**UNTOUCHED, **TOKENS, suppress_tokens=None)
    call = call.with_geometry(draw(st.sampled_from(GEOMETRIES)))
    call = call.with_options(max_new_tokens=draw(st.integers(4, 14)))
    constraint = PATTERNS.map(constraint_of).filter(lambda one: one.min_length <= call.max_new_tokens)
    return call.with_options(constraint=[draw(constraint | st.none()) for _ in call.prompts])


def check_answers(call) -> None:
    output, copies = call(), call.repeats
    assert not (output.sequences == MASK).any()
    for index, constraint in enumerate(call.options["constraint"]):
        for answer in output.sequences[index * copies : (index + 1) * copies, -call.max_new_tokens :]:
            assert constraint is None or re.fullmatch(constraint.pattern, text_of(answer))
    confidence = output.trajectory[1]
    assert ((confidence > -1e-6) & (confidence < 1 + 1e-6) | confidence.isnan()).all()


@given(constrained_calls())
@settings(max_examples=30)
def test_each_answer_matches_its_pattern(call):
    check_answers(call)


@pytest.mark.slow
@given(constrained_calls())
@settings(max_examples=300)
def test_each_of_many_answers_matches_its_pattern(call):
    check_answers(call)


@given(constrained_calls())
@settings(max_examples=8)
def test_a_row_does_not_depend_on_its_batch(call):
    constraints = call.options["constraint"]
    if all(one is None for one in constraints):  # then the steps may be recorded
        return
    rows = [one for one in constraints for _ in range(call.repeats)]
    together = call()
    for index, (row, constraint) in enumerate(zip(call.rows(), rows, strict=True)):
        alone = row.with_options(constraint=constraint)(seeds=[index])
        length = alone.sequences.shape[1]
        assert torch.equal(together.sequences[index, -length:], alone.sequences[0])
        assert torch.equal(together.trajectory[0][index, -length:], alone.trajectory[0][0])


@given(calls(), st.sampled_from(GEOMETRIES))
@settings(max_examples=30)
def test_a_constraint_that_allows_everything_changes_nothing(call, geometry):
    """To the bit, for what it adds to each score is 0. Here it also allows special tokens, and text behind an EOS."""
    call = call.with_options(**NO_EDITS).with_geometry(geometry)
    everything = Constraint("", TokenAutomaton.allow_all(VOCAB_SIZE), "")
    free = call()
    with patch.object(TokenAutomaton, "with_ending", lambda automaton, *_: automaton):
        constrained = call.with_options(constraint=everything)()
    assert torch.equal(free.sequences, constrained.sequences)
    assert torch.equal(free.num_forward_passes, constrained.num_forward_passes)
    torch.testing.assert_close(constrained.trajectory, free.trajectory, equal_nan=True)


# On scripted logits: the tokens 0 to 26 are the letters from `a` on


def script(*columns: dict[str, float]) -> MockModel:
    """A model that gives letters their probabilities in each column of the answer, and the rest to the others."""
    logits = torch.full((3 + len(columns), 32), 1e-6).log()
    for column, probabilities in enumerate(columns, start=3):
        for letter, probability in probabilities.items():
            logits[column, ids_of(letter)] = math.log(probability)
    return MockModel(logits)


def ids_of(text: str) -> list[int]:
    return [ord(letter) - ord("a") for letter in text]


def test_confidences_are_those_given_the_constraint():
    """Alone, `a` has 0.3 and `d` 0.6. Of the texts, `ab` has 0.12 and `cd` 0.06."""
    model = script({"a": 0.3, "c": 0.1}, {"b": 0.4, "d": 0.6})
    output = details(model, max_new_tokens=2, constraint=constraint_of("ab|cd"))
    assert output.sequences[0, 3:].tolist() == ids_of("ab")
    torch.testing.assert_close(output.trajectory[1][0, 3:], torch.tensor([2 / 3, 1.0]))


def test_tokens_of_one_step_lie_on_one_text():
    """Given the constraint, `a` is the best first letter and `d` the best second one, but `ad` is no text."""
    model = script({"a": 0.4, "b": 0.31, "c": 0.29}, {"d": 0.3, "e": 0.3, "f": 0.4})
    output = details(model, max_new_tokens=2, steps=1, constraint=constraint_of("ae|bd|cd"))
    assert output.sequences[0, 3:].tolist() == ids_of("bd")
    assert output.trajectory[0][0, 3:].tolist() == [1, 0]  # the more probable one is committed alone
    torch.testing.assert_close(output.trajectory[1][0, 3:], torch.tensor([31 / 60, 0.6]))
    output = details(model, max_new_tokens=2, steps=1, constraint=constraint_of("af|bd"))
    assert output.sequences[0, 3:].tolist() == ids_of("af") and output.num_forward_passes == 1


def test_a_draft_that_fits_no_text_is_a_wrong_guess():
    """After `d`, the draft guesses `a`, the best first letter before, but `ad` is no text."""
    model = script({"a": 0.4, "b": 0.31, "c": 0.29}, {"d": 0.3, "e": 0.3, "f": 0.4}, {"g": 0.34, "h": 0.33, "i": 0.33})
    options = {"max_new_tokens": 3, "constraint": constraint_of("(ae|bd|cd)[ghi]")}
    drafted, single = details(model, draft_steps=3, **options), details(model, **options)
    assert torch.equal(drafted.sequences, single.sequences)
    assert drafted.sequences[0, 3:].tolist() == ids_of("bdg")


def test_no_text_goes_through_the_mask_token():
    """Here the mask token is the letter `x`. The block of `a`, the best first letter, would leave one that is never filled."""
    model = MockModel(script({"a": 0.9}, {"c": 0.9}, {"d": 0.9}).script, mask_token_id=MASK)
    answer = model.generate(PROMPT, max_new_tokens=3, block_length=1, constraint=constraint_of("ax|bcd"))
    assert answer[0, 3:].tolist() == ids_of("bcd")


@pytest.mark.parametrize("remasking", ["low_confidence", "random", "margin", "entropy"])
def test_samples_have_the_probabilities_of_the_texts(remasking):
    """All columns are sampled at once; at temperature 2, a text has the root of its probability."""
    model = script({"a": 0.7, "b": 0.2}, {"a": 0.1, "b": 0.9})
    options = {"max_new_tokens": 2, "steps": 1, "temperature": 2.0, "num_return_sequences": 4000}
    constraint, generator = constraint_of("ab|ba|bb"), torch.Generator().manual_seed(0)
    tokens = model.generate(PROMPT, **options, remasking=remasking, constraint=constraint, generator=generator)
    texts = Counter("".join("ab"[token] for token in row) for row in tokens[:, 3:].tolist())
    weights = {"ab": 0.63**0.5, "ba": 0.02**0.5, "bb": 0.18**0.5}
    assert texts.keys() == weights.keys()
    for text, weight in weights.items():
        assert abs(texts[text] / 4000 - weight / sum(weights.values())) < 0.03


def test_what_top_k_leaves_is_in_the_language():
    """The best two of each column are `ab`, `xy`; `cd` alone is a text, and then nothing is narrowed."""
    model = script({"a": 0.4, "x": 0.5, "c": 0.1}, {"b": 0.4, "y": 0.5, "d": 0.1})
    options = {"max_new_tokens": 2, "temperature": 1.0, "top_k": 1, "num_return_sequences": 8}
    texts = model.generate(PROMPT, **options, constraint=constraint_of("ab|cd"))[:, 3:]
    assert texts.tolist() == [ids_of("ab")] * 8
    assert model.generate(PROMPT, **options, constraint=constraint_of("cd"))[0, 3:].tolist() == ids_of("cd")


def test_a_text_ends_with_an_eos_before_the_last_column():
    model = script(*[{"a": 0.8}] * 6)
    model.script[:, mock_model.EOS] = math.log(0.1)
    answer = model.generate(PROMPT, max_new_tokens=6, constraint=constraint_of("a{4}"))[0, 3:]
    assert answer.tolist() == ids_of("aaaa") + [mock_model.EOS, mock_model.PAD]
    # Without an EOS it has to fill the answer.
    answer = model.generate(PROMPT, max_new_tokens=6, constraint=constraint_of("a{4}|b{6}"), logits_eos_inf=True)[
        0, 3:
    ]
    assert answer.tolist() == ids_of("bbbbbb")


def test_gaps_of_a_prompt():
    """The text reaches from the first mask to the last one, with the tokens between them."""
    model, mask = script(*[{"a": 0.9}] * 6), mock_model.MASK
    prompts = torch.tensor(
        [[*ids_of("xx"), mask, *ids_of("b"), mask, *ids_of("z")], [mask, *ids_of("wvu"), *[mask] * 2]]
    )
    output = model.generate(prompts, max_new_tokens=0, constraint=constraint_of("[ac]b[cd]|cw.*u[e-g]{2}"))
    assert output[0].tolist()[:2] + output[0].tolist()[5:] == ids_of("xxz")
    assert output[0, 2:5].tolist() in (ids_of("abc"), ids_of("abd"), ids_of("cbc"), ids_of("cbd"))
    assert output[1, :4].tolist() == ids_of("cwvu") and output[1, 4] in (4, 5, 6)
    with pytest.raises(ValueError, match="which are 3 tokens, and that has the tokens between them"):
        model.generate(prompts[:1], max_new_tokens=0, constraint=constraint_of("aaa"))


def test_masks_of_the_prompt_before_an_answer_are_free():
    model = script(*[{"a": 0.9}] * 4)
    prompt = torch.tensor([[mock_model.MASK, 3, 4]])
    answer = model.generate(prompt, max_new_tokens=2, constraint=constraint_of("bb"))
    assert answer[0, 1:].tolist() == [3, 4, *ids_of("bb")]


def test_a_streamer_sees_what_fits():
    class Steps:
        takes_steps, drafts = True, []

        def put(self, value): ...

        def end(self): ...

        def put_draft(self, value, step, confidence, top_tokens):
            self.drafts.append(value)

    streamer = Steps()
    script(*[{"a": 0.9}] * 3).generate(PROMPT, max_new_tokens=3, constraint=constraint_of("bbb"), streamer=streamer)
    assert len(streamer.drafts) >= 2


def tiny_llada_moe() -> LLaDAMoeForMaskedLM:
    torch.manual_seed(0)
    return LLaDAMoeForMaskedLM(LLaDAMoeConfig(**TINY, num_experts=4, num_experts_per_tok=2)).eval()


def tiny_illada() -> ILLaDAForMaskedLM:
    torch.manual_seed(0)
    return ILLaDAForMaskedLM(ILLaDAConfig(**TINY)).eval()


@pytest.mark.parametrize("family", [tiny_llada_moe, tiny_llada2, tiny_illada, golden_llada_v])
def test_families(family):
    model, prompt = family(), torch.tensor([[20, 21, 22]])
    output = model.generate(prompt, max_new_tokens=11, block_length=4, constraint=constraint_of("[c-e]{2}f[g-j]{3,5}"))
    answer = output[0, 3:].tolist()
    end = next(place for place, token in enumerate(answer) if token in (1, EOS_OF_LLADA_V, EOT_OF_LLADA_V))
    assert re.fullmatch("[c-e]{2}f[g-j]{3,5}", "".join(chr(ord("a") + token) for token in answer[:end]))


def test_a_constraint_of_the_package_for_a_model_of_remote_code():
    """Their classes are not the same, so what counts is what a constraint has."""

    class Foreign:
        automaton = SimpleNamespace(**{name: getattr(constraint_of("bb").automaton, name) for name in AUTOMATON})

    answer = script(*[{"a": 0.9}] * 2).generate(PROMPT, max_new_tokens=2, constraint=Foreign())
    assert answer[0, 3:].tolist() == ids_of("bb")


# Errors, before any forward pass


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"constraint": constraint_of("a{9}")},
            "fits into 8 tokens, but the shortest one has 9. Set `max_new_tokens` to at least 9",
        ),
        ({"constraint": "[a-z]+"}, "must be a `modeling_llada.Constraint`, or a list of them, but got '"),
        ({"constraint": [constraint_of("a")] * 2}, "each of the 1 prompts, but got 2"),
        ({"constraint": constraint_of("a|bb"), "logits_eos_inf": True}, "must allow a text of exactly 8 tokens"),
        ({"constraint": constraint_of("a|b"), "suppress_tokens": [0, 1]}, "each one needs a token that is ruled out"),
        (
            {"constraint": constraint_of("a"), "edit_threshold": 0.5, "insert_delete": True},
            "`insert_delete` does not go with `constraint`",
        ),
    ],
)
def test_bad_arguments(options, message):
    model = script(*[{"a": 0.9}] * 8)
    model.config.delete_token_id, model.config.split_token_id = 17, 18
    with pytest.raises(ValueError, match=re.escape(message)):
        model.generate(PROMPT, max_new_tokens=8, **options)
    assert not model.calls


def test_a_processor_that_leaves_no_text():
    def without_a(tokens, scores):
        return scores.index_fill(1, torch.tensor([0]), -torch.inf)

    model = script(*[{"a": 0.9}] * 2)
    with pytest.raises(ValueError, match="`constraint` leaves no text for row 0.*`logits_processor` rules out"):
        model.generate(PROMPT, max_new_tokens=2, constraint=constraint_of("aa|ab"), logits_processor=without_a)


def test_nothing_is_asked_of_rows_without_a_constraint():
    model = script(*[{"a": 0.9}] * 2)
    prompts = PROMPT.repeat(2, 1)
    both = model.generate(prompts, max_new_tokens=2, constraint=[None, constraint_of("bb")])[:, 3:]
    assert both.tolist() == [ids_of("aa"), ids_of("bb")]
    assert model.generate(PROMPT, max_new_tokens=2, constraint=[None])[0, 3:].tolist() == ids_of("aa")
