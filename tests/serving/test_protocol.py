# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The protocol of OpenAI as it goes over the wire: choices, stops, log-probabilities, gaps, usage and the events of streams."""

import json
import math

import pytest
import torch
from support.waiting import wait_until


pytest.importorskip("fastapi", reason="needs the extra `serve`")
httpx = pytest.importorskip("httpx", reason="needs the extra `serve`")

LINE = "床前明月光，"
CHAT = [{"role": "user", "content": LINE}]
FULL = {"stop_at_eos": False}  # random weights write an EOS anywhere


@pytest.fixture(scope="module")
def client(poet):
    from fastapi.testclient import TestClient

    from modeling_llada.serving import build_app

    return TestClient(build_app(*poet, ["tiny"]), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def complete(client):
    """Sends a prompt, by default all answers of which are full, and returns the answer."""

    def complete(prompt=LINE, **fields):
        answer = client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 6, **FULL, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return complete


@pytest.fixture(scope="module")
def events(client):
    """Sends a request, and returns the events of its stream but the last one, which is `[DONE]`."""

    def events(path="/v1/completions", **fields):
        body = {"prompt": LINE} if path.endswith("/v1/completions") else {"messages": CHAT}
        body |= {"max_tokens": 6, "stream": True, **FULL, **fields}
        with client.stream("POST", path, json=body) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = [line for line in answer.iter_lines() if line]
        assert all(line.startswith("data: ") for line in lines) and lines.pop() == "data: [DONE]"
        return [json.loads(line.removeprefix("data: ")) for line in lines]

    return events


@pytest.fixture(scope="module")
def expected(poet):
    """The tokens that `generate` writes, prompt included, with their confidences."""
    model, tokenizer = poet

    def expected(prompt=LINE, seed=0, **options):
        inputs = tokenizer(prompt, return_tensors="pt")
        options = FULL | {"max_new_tokens": 6, "generator": torch.Generator().manual_seed(seed)} | options
        output = model.generate(**inputs, **options, return_dict_in_generate=True, output_trajectory=True)
        return tokenizer.decode(output.sequences[0]), output.sequences[0], output.trajectory[1][0]

    return expected


def texts_of(answer):
    return [choice["text"] for choice in answer["choices"]]


class TestOptions:
    @pytest.mark.parametrize(
        "fields",
        [{"steps": 2}, {"generation_config": {"steps": 2}}, {"generation_config": {"steps": 5}, "steps": 2}],
        ids=["at the top", "inside", "the top wins"],
    )
    def test_decoding_options(self, complete, expected, fields):
        assert texts_of(complete(**fields)) == [expected(steps=2)[0].removeprefix(LINE)]

    def test_top_p(self, complete, expected):
        sampling = {"temperature": 2.0, "top_p": 0.5, "top_k": 4}
        assert texts_of(complete(seed=1, **sampling)) == [expected(seed=1, **sampling)[0].removeprefix(LINE)]

    @pytest.mark.parametrize("field", ["max_tokens", "seed", "stop", "n", "suffix", "logprobs", "response_format"])
    def test_null_is_left_out(self, complete, field):
        assert complete(**{field: None})["choices"][0]["text"]

    def test_what_is_ignored(self, complete):
        hints = {"user": "me", "store": True, "metadata": {"a": "b"}, "service_tier": "auto", "verbosity": "low"}
        assert texts_of(complete(**hints)) == texts_of(complete())

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"max_token": 4}, "'max_token' is not a field of this request. Did you mean `max_tokens`?"),
            ({"messages": CHAT}, "'messages' is not a field of this request."),
            ({"mask_token_id": 5}, "'mask_token_id' is not a field"),
            ({"generation_config": {"mask_token_id": 5}}, "`mask_token_id` belongs to the server"),
            ({"stop": [1]}, "`stop` must be a text or a list of at most 16 texts"),
            ({"stop": [""]}, "`stop` must be a text"),
            (
                {"stop_strings": 257 * "a"},
                "`stop` must be a text or a list of at most 16 texts, each of 1 to 256 characters",
            ),
            ({"stop": ["a"] * 17}, "`stop` must be a text"),
            ({"n": 0}, "`n` must be an integer in [1, 16], but got 0"),
            ({"n": True}, "`n` must be an integer"),
            ({"best_of": 3}, "`best_of` must be 1 or left out, but got 3"),
            ({"logprobs": 6}, "`logprobs` must be an integer in [0, 5], but got 6"),
            ({"logprobs": True}, "`logprobs` must be an integer"),
            ({"logprobs": 1, "echo": True}, "`logprobs` must be left out with `echo`"),
            ({"echo": "yes"}, "`echo` must be true or false"),
            ({"prompt": None}, "`prompt` must be a text, a list of token ids"),
            ({"prompt": []}, "`prompt` must be a text"),
            ({"prompt": [LINE, 3]}, "`prompt` must be a text"),
            ({"prompt": [True]}, "`prompt` must be a text"),
            ({"prompt": ["床"] * 257}, "`prompt` must be at most 256 prompts"),
            ({"prompt": [10**6]}, "`input_ids` must be"),
            ({"prompt": [[1], [2**70]]}, "`prompt` must be a text"),
            ({"prompt": ""}, "`input_ids` is empty"),
            ({"suffix": 3}, "`suffix` must be a text"),
            ({"suffix": "光", "max_tokens": 0}, "a `suffix` needs `max_tokens` from 1 to 128"),
            ({"suffix": "光", "max_tokens": 10**12}, "a `suffix` needs `max_tokens` from 1 to 128"),
            ({"suffix": "光[MASK]"}, "`suffix` must be a text without the mask token"),
            ({"suffix": "光", "prompt": "[MASK]"}, "`prompt` must be a text without the mask token"),
            ({"suffix": "光", "prompt": [5]}, "`prompt` must be a text without the mask token"),
            ({"suffix": "光", "echo": True}, "and no `echo`"),
            ({"stream_options": {"include_usage": True}}, "`stream_options` needs `stream=true`"),
            ({"stream_options": {"usage": True}, "stream": True}, "`stream_options` must be an object with"),
            ({"stream_options": {"include_usage": 1}, "stream": True}, "`stream_options.include_usage` must be true"),
        ],
        ids=str,
    )
    def test_what_is_refused(self, client, fields, message):
        answer = client.post("/v1/completions", json={"prompt": LINE, "max_tokens": 6, **fields})
        assert answer.status_code == 400 and message in answer.json()["error"]["message"], answer.text
        assert len(answer.text) < 500

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"logprobs": 1}, "`logprobs` must be true or false"),
            ({"top_logprobs": 2}, "`top_logprobs` needs `logprobs=true`"),
            ({"logprobs": True, "top_logprobs": 21}, "`top_logprobs` must be an integer in [0, 20]"),
            ({"suffix": "光"}, "'suffix' is not a field"),
            ({"messages": [{"role": "user", "content": None}]}, "`messages` must be a list of one or more objects"),
            ({"messages": [{"role": "user", "content": "[MASK]"}]}, "`messages` must not hold mask tokens"),
        ],
        ids=str,
    )
    def test_what_a_chat_refuses(self, client, fields, message):
        answer = client.post("/v1/chat/completions", json={"messages": CHAT, **fields})
        assert answer.status_code == 400 and message in answer.json()["error"]["message"], answer.text


class TestChoices:
    def test_each_choice_is_the_answer_to_the_next_seed(self, complete):
        sampling = {"temperature": 1.5, "max_tokens": 4}
        answer = complete(n=3, seed=5, **sampling)
        assert texts_of(answer) == [texts_of(complete(seed=5 + number, **sampling))[0] for number in range(3)]
        assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
        assert answer["usage"] == {"prompt_tokens": 6, "completion_tokens": 12, "total_tokens": 18}

    @pytest.mark.parametrize("as_tokens", [False, True])
    def test_several_prompts(self, complete, poet, as_tokens):
        texts = ["床前", "白日依山尽，"]
        prompts = [poet[1](text)["input_ids"] for text in texts] if as_tokens else texts
        answer = complete(prompts, n=2, seed=1, temperature=1.0)
        alone = [texts_of(complete(text, n=2, seed=1, temperature=1.0)) for text in texts]
        assert texts_of(answer) == alone[0] + alone[1]
        assert answer["usage"]["prompt_tokens"] == 8

    def test_the_events_of_a_stream_say_which_choice_they_are_of(self, complete, events):
        fields = {"n": 2, "temperature": 1.0, "seed": 3, "block_length": 3}
        texts, ends = ["", ""], []
        for event in events(**fields):
            [choice] = event["choices"]
            texts[choice["index"]] += choice["text"]
            ends += [choice["index"]] if choice["finish_reason"] else []
        assert texts == texts_of(complete(**fields)) and sorted(ends) == [0, 1]

    def test_a_choice_that_fails_ends_the_others(self, poet, client, monkeypatch):
        monkeypatch.setattr(poet[0], "forward", lambda **inputs: 1 / 0)
        assert client.post("/v1/completions", json={"prompt": LINE, "n": 4}).status_code == 500
        wait_until(lambda: client.app.state.scheduler.is_idle)


@pytest.fixture(scope="module")
def text(expected):
    """An answer in blocks."""
    return expected(block_length=3)[0].removeprefix(LINE)


class TestStop:
    @pytest.mark.parametrize("place", range(6))
    def test_the_text_ends_before_it(self, complete, text, place):
        stop = text[place : place + 2]
        answer = complete(block_length=3, stop=[stop, "no such text"])
        [choice] = answer["choices"]
        assert choice["text"] == text[: text.index(stop)] and choice["finish_reason"] == "stop"
        assert answer["usage"]["completion_tokens"] == text.index(stop) + len(stop)

    def test_by_the_name_of_the_option(self, complete, text):
        for fields in ({"stop_strings": text[2:4]}, {"generation_config": {"stop_strings": text[2:4]}}):
            assert texts_of(complete(block_length=3, **fields)) == [text[:2]]

    @pytest.mark.parametrize("place", range(6))
    def test_a_stream_takes_nothing_back(self, events, text, place):
        """A string that goes across blocks is in no event, and one that only seems to begin is sent later."""
        stop = text[place : place + 2]
        pieces = [event["choices"][0]["text"] for event in events(block_length=3, stop=stop)]
        assert "".join(pieces) == text[: text.index(stop)]
        pieces = [event["choices"][0]["text"] for event in events(block_length=3, stop=stop + "月月")]
        assert "".join(pieces) == text


class TestLogprobs:
    def test_of_a_completion(self, complete, expected, poet):
        _, tokens, confidence = expected()
        answer = complete(logprobs=2)["choices"][0]["logprobs"]
        assert answer["tokens"] == [poet[1].decode([token]) for token in tokens[6:]]
        assert answer["token_logprobs"] == pytest.approx(confidence[6:].log().tolist())
        assert answer["text_offset"] == list(range(6))
        for token, logprob, top in zip(
            *(answer[name] for name in ("tokens", "token_logprobs", "top_logprobs")), strict=True
        ):
            assert len(top) == 2 and top[token] == max(top.values()) == pytest.approx(logprob, abs=1e-4)
        assert complete(logprobs=0)["choices"][0]["logprobs"] == answer | {"top_logprobs": None}
        assert complete()["choices"][0]["logprobs"] is None

    def test_of_a_stream_of_a_chat(self, client, events):
        fields = {"logprobs": True, "top_logprobs": 3, "block_length": 2, "max_tokens": 6, **FULL}
        plain = client.post("/v1/chat/completions", json={"messages": CHAT, **fields}).json()["choices"][0]
        streamed = [event["choices"][0]["logprobs"] for event in events("/v1/chat/completions", **fields)]
        content = [entry for logprobs in streamed if logprobs for entry in logprobs["content"]]
        assert content == plain["logprobs"]["content"] and len(content) == 6
        assert "".join(entry["token"] for entry in content) == plain["message"]["content"]
        for entry in content:
            assert (
                entry["bytes"] == list(entry["token"].encode()) and entry["top_logprobs"][0]["token"] == entry["token"]
            )
            assert sum(math.exp(other["logprob"]) for other in entry["top_logprobs"]) < 1

    def test_a_sure_thing_has_a_finite_one(self):
        from modeling_llada.serving.logprobs import log

        assert log(1.0) == 0.0 and log(0.0) == -9999.0


class TestGaps:
    def test_a_suffix(self, complete, expected, poet):
        tokens = expected(LINE + 3 * "[MASK]" + "上霜。", max_new_tokens=0)[1]
        answer = complete(suffix="上霜。", max_tokens=3)
        assert texts_of(answer) == [poet[1].decode(tokens[6:9], skip_special_tokens=True)]
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"] == {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}

    @pytest.mark.parametrize("stream", [False, True])
    def test_masks_are_filled_in_the_text(self, client, expected, events, stream):
        prompt = "床前[MASK]月光，"
        fields = {"prompt": prompt, "max_tokens": None, "logprobs": 0}
        if stream:
            choices = [event["choices"][0] for event in events(**fields)]
            text, logprobs = "".join(choice["text"] for choice in choices), choices[0]["logprobs"]
        else:
            [choice] = client.post("/v1/completions", json=fields).json()["choices"]
            text, logprobs = choice["text"], choice["logprobs"]
        assert text == expected(prompt, max_new_tokens=0)[0]
        assert logprobs["tokens"] == [text[2]] and logprobs["text_offset"] == [2]

    def test_masks_and_what_follows(self, complete, expected):
        assert texts_of(complete("床前[MASK]月光，")) == [expected("床前[MASK]月光，")[0]]

    def test_the_prompt_is_shown_as_it_was_typed(self, complete):
        """Also the characters that the tokenizer does not know."""
        assert texts_of(complete("床前明月光€，[MASK]", max_tokens=0))[0].startswith("床前明月光€，")
        assert texts_of(complete("床前€", echo=True, max_tokens=0)) == ["床前€"]

    def test_echo(self, complete, poet):
        [text] = texts_of(complete())
        assert texts_of(complete(echo=True)) == [LINE + text]
        assert texts_of(complete(poet[1](LINE)["input_ids"], echo=True)) == [LINE + text]


class TestStreams:
    def test_a_chunk_for_each_block(self, events, complete):
        chunks = events(block_length=2)
        assert [len(chunk["choices"][0]["text"]) for chunk in chunks] == [2, 2, 2, 0]
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == texts_of(complete(block_length=2))[0]
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "length"]
        assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
        assert not any("usage" in chunk for chunk in chunks)

    def test_usage_is_in_the_last_event(self, events):
        *chunks, last = events(stream_options={"include_usage": True})
        assert all(chunk["usage"] is None for chunk in chunks)
        assert last["choices"] == []
        assert last["usage"] == {"prompt_tokens": 6, "completion_tokens": 6, "total_tokens": 12}

    def test_a_chat_begins_with_its_role(self, events):
        first, *others = events("/v1/chat/completions", n=2)
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert first["object"] == "chat.completion.chunk" and others[0]["choices"][0]["index"] == 1

    def test_viewers_get_the_canvas(self, events):
        """The canvas is what lies behind the text that was sent. It changes none of it."""
        chunks = events(block_length=3, stream_options={"include_canvas": True})
        canvases = [choice["canvas"] for chunk in chunks if "canvas" in (choice := chunk["choices"][0])]
        assert [canvas["step"] for canvas in canvases] == sorted({canvas["step"] for canvas in canvases})
        assert {len(canvas["tokens"]) for canvas in canvases} <= {3, 6}
        assert len([token for token in canvases[0]["tokens"] if token is None]) >= 3
        text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
        assert text == "".join(chunk["choices"][0]["text"] for chunk in events(block_length=3))
        assert text.endswith("".join(canvases[-1]["tokens"]))
