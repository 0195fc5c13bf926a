# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Images in requests to the server, on the golden LLaDA-V, whose random weights answer nonsense."""

import base64
import json
import re
from functools import partial
from types import SimpleNamespace

import pytest
from PIL import Image
from support.golden_v import golden_image
from support.image_requests import QUESTION, chat, data_url, image_part
from support.llada_v import answer_to


pytest.importorskip("fastapi", reason="needs the extra `serve`")

from fastapi.testclient import TestClient

from modeling_llada.serving import Limits, build_app, images


@pytest.fixture(scope="module")
def client(llada_v):
    return TestClient(build_app(*llada_v, ["golden"]), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def post(client):
    """Sends a request, and returns its status and its answer or the message of its error."""

    def post(messages, path="/v1/chat/completions", **fields):
        body = {"max_tokens": 8, **fields} | ({"messages": messages} if path.endswith("chat/completions") else {})
        answer = client.post(path, json=body)
        content = answer.json()
        return SimpleNamespace(status=answer.status_code, message=content.pop("error", {}).get("message"), **content)

    return post


@pytest.fixture(scope="module")
def expected(llada_v):
    """The answer of `generate`, and the length of the prompt."""
    return partial(answer_to, *llada_v, max_new_tokens=8)


def given(*names, text=QUESTION["text"]):
    """The messages with golden images for the processor."""
    parts = [{"type": "image", "image": golden_image(name)} for name in names]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


class TestAnswers:
    @pytest.mark.parametrize("names", ["A", "AB", "ABCD"])
    def test_images_in_data_urls(self, post, expected, names):
        answer = post(chat(*(image_part(golden_image(name)) for name in names), QUESTION))
        text, length = expected(given(*names))
        assert answer.choices[0]["message"]["content"] == text
        assert answer.usage["prompt_tokens"] == length

    @pytest.mark.parametrize("image_format", ["PNG", "WEBP", "BMP", "TIFF"])
    def test_formats(self, post, expected, image_format):
        url = data_url(golden_image("A"), image_format, **({"lossless": True} if image_format == "WEBP" else {}))
        assert post(chat(image_part(url), QUESTION)).choices[0]["message"]["content"] == expected(given("A"))[0]

    def test_a_stream(self, client, expected):
        body = {"messages": chat(image_part(golden_image("A")), QUESTION), "max_tokens": 8, "stream": True}
        body |= {"block_length": 4, "stream_options": {"include_usage": True}}
        lines = client.post("/v1/chat/completions", json=body).text.splitlines()
        *chunks, last = [json.loads(line.removeprefix("data: ")) for line in lines if "{" in line]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        assert text == expected(given("A"), block_length=4)[0]
        assert last["usage"]["prompt_tokens"] == expected(given("A"))[1]

    def test_turns(self, post, expected):
        """Images stay in their messages, and parts in their order."""
        messages = [
            *chat(
                {"type": "text", "text": "This"}, image_part(golden_image("A")), {"type": "text", "text": "is what?"}
            ),
            {"role": "assistant", "content": "A cat."},
            *chat(image_part(golden_image("B"), detail="auto")),
        ]
        content = [{"type": "text", "text": "This"}, given("A", text="is what?")[0]["content"][0]]
        content += [{"type": "text", "text": "is what?"}]
        turns = [{"role": "user", "content": content}, messages[1]]
        turns += [{"role": "user", "content": [{"type": "image", "image": golden_image("B")}]}]
        assert post(messages).choices[0]["message"]["content"] == expected(turns)[0]

    def test_a_url_without_an_object(self, post, expected):
        part = {"type": "image_url", "image_url": data_url(golden_image("A"))}
        assert post(chat(part, QUESTION)).choices[0]["message"]["content"] == expected(given("A"))[0]

    @pytest.mark.parametrize("content", ["Hi", [{"type": "text", "text": "Hi"}]])
    def test_text_alone(self, post, expected, content):
        answer = post([{"role": "user", "content": content}])
        assert answer.choices[0]["message"]["content"] == expected([{"role": "user", "content": "Hi"}])[0]

    def test_the_system_prompt_of_the_template(self, post, expected):
        messages = chat(image_part(golden_image("A")), QUESTION)
        answer = post(messages, chat_template_kwargs={"system_prompt": ""})
        assert answer.usage["prompt_tokens"] < post(messages).usage["prompt_tokens"] - 20

    def test_a_text_to_complete(self, client, llada_v):
        model, processor = llada_v
        inputs = processor.tokenizer("One, two", return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :]
        answer = client.post("/v1/completions", json={"prompt": "One, two", "max_tokens": 8}).json()
        assert answer["choices"][0]["text"] == processor.decode(tokens, skip_special_tokens=True)


GOOD = image_part(golden_image("C"))
BOMB = bytearray(base64.b64decode(data_url(Image.new("1", (8, 8)), "BMP").partition(",")[2]))
BOMB[18:26] = (20000).to_bytes(4, "little") * 2  # width and height
FRAMES = data_url(golden_image("A"), "GIF", save_all=True, append_images=[golden_image("B").resize((100, 60))])


class TestBadImages:
    REFUSED = {
        "a path": (
            "/etc/passwd",
            r"\[0\].content\[0\].image_url` must be a data URL.*got '/etc/passwd'.*reads no files",
        ),
        "a file URL": ("file:///etc/passwd", "must be a data URL.*reads no files"),
        "bare base64": (data_url(golden_image("A")).partition(",")[2], "must be a data URL"),
        "a remote URL": ("https://example.org/a.png", "fetches no images; `llada serve --allow-remote-images` does"),
        "no text": (5, "image_url` must have a `url` that is a text, but got 5"),
        "no base64": ("data:image/png,abc", "image_url`: a data URL must start with 'data:image/...;base64,'"),
        "no picture": ("data:image/png;base64,aGFsbG8=", "image_url`: .*none of the formats AVIF, .*, PNG, "),
        "nothing": ("data:image/png;base64,", "image_url`: .* cannot be read as a picture"),
        "cut off": (data_url(golden_image("A"))[:200], "cannot be read as a picture"),
        "a bomb": ("data:image/bmp;base64," + base64.b64encode(BOMB).decode(), "pixels"),
        "frames": (FRAMES, "has 2 frames"),
        "a program": (data_url(golden_image("A"), "EPS"), "cannot be read as a picture"),
    }

    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
    @pytest.mark.parametrize("name", REFUSED)
    def test_it_is_refused_before_the_answer_begins(self, post, name, stream):
        url, message = self.REFUSED[name]
        answer = post(chat({"type": "image_url", "image_url": {"url": url}}, QUESTION), stream=stream)
        assert answer.status == 400
        assert re.search(message, answer.message), answer.message
        assert len(answer.message) < 500

    @pytest.mark.parametrize(
        ("messages", "message"),
        [
            (
                chat({"type": "image_url"}),
                "`messages` must be a list of one or more objects with a `role` and with text and images",
            ),
            ([], "`messages` must be"),
            (chat({"type": "image", "image": "/etc/passwd"}), "`messages` must be"),
            (chat({"type": "image", "path": "/etc/passwd"}), "`messages` must be"),
            (chat({"type": "input_audio", "input_audio": {}}), "`messages` must be"),
            (chat({"text": "no type"}), "`messages` must be"),
            (chat({"type": "video_url", "video_url": {"url": "/etc/passwd"}}), "`messages` must be"),
            (
                chat(image_part(golden_image("A"), detail="low")),
                r"`messages\[0\].content\[0\].image_url.detail` must be",
            ),
            (chat(*[GOOD] * 17), "`messages` must have at most 16 images, but got 17"),
            (chat(GOOD, {"type": "text", "text": "<image>?"}), r"`messages\[0\]` must not hold the text `<image>`"),
            (chat({"type": "text", "text": "<video>?"}), r"`messages\[0\]` must not hold the text `<video>`"),
            (
                chat({"type": "text", "text": "<ima"}, {"type": "text", "text": "ge>"}),
                "must not hold the text `<image>`",
            ),
            ([{"role": "user", "content": "<image>?"}], r"`messages\[0\]` must not hold the text `<image>`"),
            ([{"role": "<image>", "content": "?"}], r"`messages\[0\]` must not hold the text `<image>`"),
        ],
        ids=lambda value: "" if isinstance(value, list) else value,
    )
    def test_messages(self, post, messages, message):
        answer = post(messages)
        assert answer.status == 400 and re.search(message, answer.message), answer.message

    @pytest.mark.parametrize(
        "values",
        [
            {"images": ["/etc/passwd"]},
            {"processor_kwargs": {"images": ["/etc/passwd"]}},
            {"chat_template": "{{ messages }}"},
            {"system_prompt": ["a"]},
            {"system_prompt": "<image>"},
            "a",
        ],
        ids=str,
    )
    def test_no_other_way_into_the_processor(self, post, values):
        """The processor would open files that its options name."""
        answer = post(chat(GOOD, QUESTION), chat_template_kwargs=values)
        assert answer.status == 400 and "`chat_template_kwargs" in answer.message

    def test_keys_beside_the_url_are_not_read(self, post, expected):
        part = image_part(golden_image("A")) | {"image": "/etc/passwd", "path": "/etc/passwd", "url": "/etc/passwd"}
        assert post(chat(part, QUESTION)).choices[0]["message"]["content"] == expected(given("A"))[0]

    def test_too_large_a_file(self, post, monkeypatch):
        monkeypatch.setattr(images, "MAX_IMAGE_BYTES", 2**20)
        answer = post(chat(image_part("data:image/png;base64," + "A" * 2**21)))
        assert answer.status == 400 and "image_url` must have at most 1 MiB" in answer.message

    def test_too_many_pixels_in_all(self, post, monkeypatch):
        """Each image alone would be small enough."""
        monkeypatch.setattr(images, "MAX_PIXELS", 3 * 64 * 64)
        assert post(chat(*[GOOD] * 3)).status == 200
        answer = post(chat(GOOD, GOOD) + chat(GOOD, GOOD))
        assert answer.status == 400 and "the images of `messages` must have at most 12,288 pixels" in answer.message

    def test_too_large_a_request(self, llada_v):
        client = TestClient(build_app(*llada_v, ["golden"], limits=Limits(max_body_mib=1)))
        answer = client.post("/v1/chat/completions", json={"messages": chat(image_part("A" * 2**20))})
        assert (
            answer.status_code == 413 and answer.json()["error"]["message"] == "The request must have at most 1 MiB."
        )

    def test_too_many_tokens(self, post):
        answer = post(chat(*[image_part(golden_image("D"))] * 3, QUESTION), max_tokens=16300)
        assert answer.status == 400 and "must fit into `max_position_embeddings=16384`" in answer.message

    def test_tokens_of_images_in_a_text(self, post):
        answer = post(None, "/v1/completions", prompt="<image>?")
        assert answer.status == 400 and "must not hold the tokens `<image>` and `<video>`" in answer.message

    def test_a_text_model(self, tiny_poet):
        client = TestClient(build_app(*tiny_poet, ["poet"]))
        answer = client.post("/v1/chat/completions", json={"messages": chat({"text": "no type"})})
        assert answer.status_code == 400 and "with text as their `content`" in answer.json()["error"]["message"]
        answer = client.post("/v1/chat/completions", json={"messages": chat(GOOD, QUESTION)})
        assert answer.status_code == 400
        message = "`messages[0].content[0]` is an image, but the model of this server reads text alone."
        assert answer.json()["error"]["message"] == message
