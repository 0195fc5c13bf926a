# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The built folder of the Space, in a real browser."""

import json
import os
import re
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest


pytest.importorskip("gradio_client", reason="needs the extra `space`")

from support.space_load import visit_together
from support.space_server import build, serve
from support.tiny_poet import SHIPPED_CHECKPOINT
from support.tiny_vision import save_tiny_vision


pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
SPACE = Path(__file__).parents[2] / "space"
PEOPLE = 16
TEXT = "五言绝句\n床前明月光，疑是地上霜。举头望明月，低头思故乡。"


def missing(what: str) -> None:
    """Skips the tests, but fails in CI, where they have to run."""
    if os.environ.get("CI"):
        pytest.fail(f"CI has to run the browser tests, but {what}")
    pytest.skip(what)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if find_spec("gradio") is None:
        missing("gradio is not installed (pip install -e '.[space]')")
    folder = build(tmp_path_factory.mktemp("space") / "built")
    shutil.rmtree(folder / "checkpoints/llada-v-tiny", ignore_errors=True)
    save_tiny_vision(folder / "checkpoints/llada-v-tiny")
    workdir = tmp_path_factory.mktemp("elsewhere")
    with serve(folder, workdir, workdir / "log.txt") as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        missing(f"there is no {CHROMIUM} (Debian: apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed (pip install playwright)")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def context(browser):
    """One profile for all tests, so that the files of the page are read once."""
    context = browser.new_context(accept_downloads=True)
    yield context
    context.close()


class Visitor:
    """Opens pages, and collects the errors in their consoles."""

    def __init__(self, url, context) -> None:
        self.url, self.context = url, context
        self.errors = []

    def open(self, query="", width=1280):
        page = self.context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.set_default_timeout(30000)
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        go_to(page, self.url, query)
        return page


@pytest.fixture(scope="module")
def visitor(server, context):
    return Visitor(server.url, context)


@pytest.fixture(scope="module")
def first_page(visitor):
    """A page for most tests, because opening one takes longer than most tests."""
    return visitor.open()


@pytest.fixture
def no_errors(visitor):
    """Checks after the test that no console has an error."""
    yield
    assert visitor.errors == []


@pytest.fixture
def page(first_page, no_errors):
    """The shared page, in front, with its first tab."""
    first_page.bring_to_front()
    open_tab(first_page, "Generate")
    return first_page


@pytest.fixture
def open_page(visitor, no_errors):
    """Opens pages for one test."""
    pages = []

    def open_at(query="", width=1280):
        pages.append(visitor.open(query, width))
        return pages[-1]

    yield open_at
    for each in pages:
        each.close()


def go_to(page, url, query=""):
    page.goto(f"{url}/{query}")
    page.locator("#generate-player .ll-player").wait_for()
    page.evaluate("document.querySelectorAll('.ll-pace').forEach(select => select.value = 'live')")
    if prompt := parse_qs(query.partition("?")[2]).get("prompt"):
        page.wait_for_function(
            "text => document.querySelector('#generate-prompt textarea')?.value === text", arg=prompt[0]
        )


def player_of(page, name):
    return page.locator(f"#{name} .ll-player")


def wait_for_status(page, name, status, timeout=30000):
    page.locator(f"#{name} .ll-player[data-status={status}]").wait_for(timeout=timeout)
    return player_of(page, name).get_attribute("data-text")


def run(page, button, *players):
    """Clicks a button, waits for the end in its players, and returns their texts. They draw at the pace of the model."""
    page.locator(f"#{players[0]} .ll-player").wait_for()
    page.evaluate("document.querySelectorAll('.ll-pace').forEach(select => select.value = 'live')")
    before = [player_of(page, name).get_attribute("data-run") for name in players]
    page.locator(f"#{button}").click()
    for name, old in zip(players, before, strict=True):
        page.locator(f"#{name} .ll-player:not([data-run='{old}'])").wait_for()
    return [wait_for_status(page, name, "done") for name in players]


def press_generate(page):
    """Clicks, and waits until the player shows the new run instead of the one that the page opened on."""
    old = player_of(page, "generate-player").get_attribute("data-run")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator(f"#generate-player .ll-player:not([data-run='{old}'])").wait_for()


def generate(page):
    return run(page, "generate-go", "generate-player")[0]


def wait_for_value(field, value):
    from playwright.sync_api import expect

    expect(field).to_have_value(value, timeout=30000)


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def fill(page, element_id, text):
    page.locator(f"#{element_id} textarea, #{element_id} input").first.fill(text)


# 256 passes with guidance and without an end of text, which takes far longer than any test waits.
LONG_RUN = "?" + urlencode(
    {
        "tab": "generate",
        "prompt": "举头望明月，",
        "form": "",
        "max_new_tokens": 256,
        "logits_eos_inf": 1,
        "cfg_scale": 1,
    }
)


def start_long_run(open_page):
    page = open_page(LONG_RUN)
    press_generate(page)
    wait_for_status(page, "generate-player", "running")
    return page


class TestOpening:
    def test_the_page_opens_on_a_run_that_plays(self, open_page):
        page = open_page()
        assert wait_for_status(page, "generate-player", "done") == TEXT
        page.get_by_text("Before my bed the moonlight shines").first.wait_for()
        player_of(page, "generate-player").locator(".ll-export", has_text="Copy link").click()
        assert "&run=" in page.evaluate("location.search")

    def test_who_follows_a_link_sees_its_run(self, open_page):
        """Also a run that is too long for a link, and is made again."""
        page = open_page("?" + urlencode({"tab": "generate", "form": "七言绝句", "prompt": "月落乌啼霜满天，"}))
        text = generate(page)
        page.locator("#generate-player .ll-export", has_text="Copy link").click()
        query = page.evaluate("location.search")
        for link in (query, query.partition("&run=")[0] + "&play=1"):
            other = open_page(link)
            other.wait_for_function(
                "text => document.querySelector('#generate-player .ll-player').dataset.text === text", arg=text
            )
        damaged = open_page(
            "?tab=generate&prompt=constructor&run=x"
        )  # the prompt has a gloss, but only in a careless look-up
        damaged.get_by_test_id("toast-body").get_by_text("The run of this link cannot be read").wait_for()
        wait_for_status(damaged, "generate-player", "empty")


class TestGenerate:
    def test_denoises_live(self, open_page):
        page = open_page()
        player_of(page, "generate-player").locator(".ll-pace").select_option("calm")
        start = time.monotonic()
        press_generate(page)
        player, frames, first = player_of(page, "generate-player"), set(), None
        while (status := player.get_attribute("data-status")) != "done" and time.monotonic() < start + 60:
            if status == "running":
                first = first or time.monotonic() - start
                frames.add((player.get_attribute("data-step"), player.locator(".ll-mask").count()))
        assert len(frames) >= 10
        assert len({masks for _, masks in frames}) >= 8
        assert first < 30  # tests share their machine; space_latency.py measures the time
        assert player.get_attribute("data-text") == TEXT
        assert player.locator(".ll-end").count() == 1

    def test_costs_and_the_order_of_commits(self, open_page):
        page = open_page()
        generate(page)
        player = player_of(page, "generate-player")
        chips = player.locator(".ll-chip")
        chips.nth(3).wait_for()
        assert [text.split(maxsplit=1)[0] for text in chips.all_inner_texts()[:3]] == ["19", "19", "1.00"]
        assert player.locator(".ll-chart circle").count() == 19
        page.get_by_text("fast: dual cache + threshold").locator("visible=true").first.click()
        page.get_by_text("Commits all tokens of 0.9").locator("visible=true").first.wait_for()
        assert generate(page) == TEXT
        player.locator(".ll-history").wait_for()
        rows = [row.split("\t")[:2] for row in player.locator(".ll-history tbody tr").all_inner_texts()]
        assert rows[0] == ["pure diffusion", "19"]
        assert rows[1][0] == "fast: dual cache + threshold" and int(rows[1][1]) < 10

    def test_a_token_tells_its_step_confidence_and_rivals(self, page):
        generate(page)
        player = player_of(page, "generate-player")
        player.locator(".ll-committed").first.hover()
        lines = player.locator(".ll-bubble-line").all_inner_texts()
        assert re.fullmatch(r"committed at step \d+ · position 12", lines[0])
        assert re.fullmatch(r"confidence 0\.\d{3}|confidence 1\.000", lines[1])
        assert re.fullmatch(r"runners-up: \S+ (0\.\d{3}|<0\.001)  \S+ (0\.\d{3}|<0\.001)", lines[2])
        page.mouse.move(5, 5)
        player.locator(".ll-bubble").wait_for(state="hidden")
        player.locator(".ll-canvas").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert "given · position 2" in player.locator(".ll-bubble").inner_text()
        page.keyboard.press("End")
        assert re.search(r"EOS, committed at step \d+ · position 30", player.locator(".ll-spoken").inner_text())

    def test_stop_ends_the_computation(self, open_page, server):
        page = start_long_run(open_page)
        player = player_of(page, "generate-player")
        page.wait_for_function("document.querySelector('#generate-player .ll-player').dataset.step > 3")
        page.locator("#generate-stop").click()
        wait_for_status(page, "generate-player", "stopped")
        assert player.locator(".ll-mask").count() > 100
        assert "stopped at step" in player.locator(".ll-status").inner_text()
        server.wait_until_idle(seconds=3)

    def test_a_stop_at_once_leaves_a_canvas_of_masks(self, open_page):
        page = open_page(LONG_RUN)
        press_generate(page)
        page.locator("#generate-player .ll-mask").first.wait_for()
        page.locator("#generate-stop").click()
        wait_for_status(page, "generate-player", "stopped")
        assert player_of(page, "generate-player").locator(".ll-mask").count() > 100

    def test_a_closed_tab_frees_the_worker(self, open_page, page, server):
        start_long_run(open_page).close()
        assert generate(page) == TEXT
        server.wait_until_idle(seconds=3)

    def test_who_waits_sees_the_position(self, open_page, page):
        first = start_long_run(open_page)  # in front, because Chromium slows down hidden pages
        page.bring_to_front()
        page.get_by_role("button", name="Generate", exact=True).click()
        page.get_by_text(re.compile(r"queue: \d+/\d+")).locator("visible=true").first.wait_for()
        first.close()
        page.wait_for_function(
            "text => document.querySelector('#generate-player .ll-player').dataset.text === text", arg=TEXT
        )

    def test_script_in_a_prompt_is_text(self, open_page):
        prompt = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
        page = open_page("?" + urlencode({"tab": "generate", "form": "", "prompt": prompt, "max_new_tokens": 4}))
        text = generate(page)
        assert "script" in text
        page.locator("#generate-player .ll-cell").first.hover()
        assert page.evaluate("window.hacked") is None
        assert page.locator(".ll-canvas img").count() == 0

    def test_a_link_may_come_from_anywhere(self, open_page):
        """A field ignores a value that it cannot hold, and no value becomes part of the page as HTML."""
        bad = '<img src="/x" onerror="window.hacked = 1">'
        values = {"form": bad, "remasking": bad, "seed": "1e300", "max_new_tokens": "1e9", "temperature": "-1"}
        page = open_page("?" + urlencode({"tab": "generate", "model": "/etc", **values}))
        assert generate(page) == TEXT
        assert page.locator("img[src='/x']").count() == 0 and page.evaluate("window.hacked") is None

    def test_errors_are_toasts_with_the_reason(self, open_page):
        page = open_page()
        fill(page, "generate-prompt", "床" * 60)
        page.get_by_role("button", name="Generate", exact=True).click()
        toast = page.get_by_test_id("toast-body")
        toast.wait_for()
        assert "五言绝句 has 24 tokens" in toast.inner_text()


@pytest.fixture(scope="module")
def played(visitor):
    page = visitor.open()
    generate(page)
    page.locator("#generate-player .ll-chip").first.wait_for()
    yield page
    page.close()


class TestScrub:
    @pytest.fixture
    def page(self, played, no_errors):
        """A page with a finished run."""
        played.bring_to_front()
        return played

    def test_slider_and_keys(self, page):
        player = player_of(page, "generate-player")
        slider = player.locator(".ll-slider")
        slider.focus()
        page.keyboard.press("Home")
        assert player.get_attribute("data-step") == "0" and player.locator(".ll-mask").count() == 19
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        assert player.get_attribute("data-step") == "5" and player.locator(".ll-mask").count() == 14

    def test_play_and_pause(self, page):
        player = player_of(page, "generate-player")
        player.locator(".ll-pace").select_option("slow")
        player.locator(".ll-slider").focus()
        page.keyboard.press("Home")
        player.locator(".ll-play").click()
        page.wait_for_function("document.querySelector('#generate-player .ll-player').dataset.step > 2")
        player.locator(".ll-play").click()
        step = int(player.get_attribute("data-step"))
        assert 3 <= step < 19
        page.wait_for_timeout(400)  # longer than a step
        assert int(player.get_attribute("data-step")) == step

    def test_exports(self, page, tmp_path):
        from PIL import Image
        from transformers import AutoTokenizer

        from modeling_llada.streaming import DenoisingRecord

        for label, name in [("GIF", "gif"), ("WebP", "webp"), ("SVG", "svg"), ("JSON", "json"), ("Web page", "html")]:
            with page.expect_download() as download:
                page.locator("#generate-player .ll-export", has_text=label).click()
            assert download.value.suggested_filename == f"denoising.{name}"
            download.value.save_as(tmp_path / f"denoising.{name}")
        for name in ("gif", "webp"):
            with Image.open(tmp_path / f"denoising.{name}") as picture:
                assert picture.n_frames >= 20  # the start, a picture a step, and the result
        tokenizer = AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT)
        record = DenoisingRecord.load(tmp_path / "denoising.json", tokenizer)
        assert record.frames[-1].text() == TEXT
        settings = json.loads((tmp_path / "denoising.json").read_text(encoding="utf-8"))["settings"]
        assert settings["model"] == "llada-poet" and settings["max_new_tokens"] == 19

    def test_a_link_leads_to_the_settings(self, page, open_page):
        page.locator("#generate-player .ll-export", has_text="Copy link").click()
        query = page.evaluate("location.search")
        assert query.startswith("?tab=generate&form=") and "max_new_tokens=64" in query
        other = open_page(query.replace("max_new_tokens=64", "max_new_tokens=33"))
        field = other.get_by_label("number input for Length (masks)").locator("visible=true")
        wait_for_value(field, "33")
        assert other.locator("#generate-prompt textarea").input_value() == "床前明月光，"

    def test_a_link_leads_to_empty_fields_too(self, open_page):
        """A field may have another first value."""
        page = open_page()
        page.get_by_role("button", name="七言绝句《春江》").click()
        wait_for_value(page.locator("#generate-prompt textarea"), "")
        assert generate(page).startswith("七言绝句《春江》\n")
        page.locator("#generate-player .ll-export", has_text="Copy link").click()
        other = open_page(page.evaluate("location.search"))
        wait_for_value(other.get_by_label("Title"), "春江")
        wait_for_value(other.locator("#generate-prompt textarea"), "")

    def test_the_web_page_plays_by_itself(self, page, browser, tmp_path):
        with page.expect_download() as download:
            page.locator("#generate-player .ll-export", has_text="Web page").click()
        download.value.save_as(tmp_path / "page.html")
        context = browser.new_context()
        alone = context.new_page()
        alone.goto((tmp_path / "page.html").as_uri())
        alone.locator(".ll-player[data-status=done]").wait_for()
        assert alone.locator(".ll-player").get_attribute("data-text") == TEXT
        context.close()


class TestOtherTabs:
    def test_chat(self, page):
        open_tab(page, "Chat")
        assert "llada-poet-instruct answers" in page.locator("#chat-partner").inner_text()
        page.get_by_text("fast: dual cache + threshold").locator("visible=true").first.click()
        page.get_by_text("Commits all tokens of 0.9").locator("visible=true").first.wait_for()
        assert run(page, "chat-go", "chat-player") == ["谁言寸草心，下一句\n谁言寸草心，报得三春晖。"]
        chat, message = page.locator("#chat-messages"), page.locator("#chat-message textarea")
        chat.get_by_text("谁言寸草心，报得三春晖。", exact=True).wait_for()
        assert message.input_value() == ""
        page.get_by_text("What comes before 疑是地上霜?").locator("visible=true").last.click()
        wait_for_value(message, "What comes before 疑是地上霜?")
        run(page, "chat-go", "chat-player")
        chat.get_by_text("床前明月光，疑是地上霜。", exact=True).wait_for()
        chat.get_by_text("谁言寸草心，报得三春晖。", exact=True).wait_for()

    def test_tags_in_a_chat_are_text(self, page):
        open_tab(page, "Chat")
        page.locator("#chat-clear").click()
        page.locator("#chat-player .ll-player[data-status=empty]").wait_for()
        fill(page, "chat-message", "<b>月</b><img src='/x'>")
        page.locator("#chat-go").click()
        page.locator("#chat-messages").get_by_text("<b>月</b><img src='/x'>", exact=True).wait_for()
        wait_for_status(page, "chat-player", "done")
        assert page.locator("#chat-messages :is(b, img[src='/x'])").count() == 0

    def test_infill_keeps_what_is_given(self, page):
        open_tab(page, "Infill")
        fill(page, "infill-text", "床前[MASK][MASK]光，疑是地上[MASK]。")
        assert run(page, "infill-go", "infill-player") == ["床前明月光，疑是地上霜。"]
        wait_for_value(page.locator("#infill-result textarea, #infill-result input").first, "床前明月光，疑是地上霜。")

    def test_selected_words_are_opened_again(self, page):
        open_tab(page, "Infill")
        area = page.locator("#infill-text textarea")
        area.fill("白日依山尽，黄河入海流。")
        area.evaluate("element => element.setSelectionRange(6, 8)")
        page.locator("#infill-reopen").click()
        wait_for_value(area, "白日依山尽，[[黄河]]入海流。")
        assert run(page, "infill-go", "infill-player") == ["白日依山尽，黄河入海流。"]
        assert player_of(page, "infill-player").locator(".ll-given").count() == 10

    def test_reverse_beside_forward(self, page):
        open_tab(page, "Reverse")
        fill(page, "reverse-line", "黄河入海流。")
        before, behind = run(page, "reverse-go", "reverse-before", "reverse-after")
        assert before == "白日依山尽，黄河入海流。"
        assert behind.startswith("黄河入海流。") and len(behind) == 12

    def test_sudoku(self, page):
        open_tab(page, "Sudoku")
        page.get_by_label("4x4").check()
        page.wait_for_function("document.querySelector('#sudoku-puzzle textarea')?.value.length === 19")
        [text] = run(page, "sudoku-go", "sudoku-player")
        page.locator("#sudoku-verdict").get_by_text("Solved").wait_for()
        assert sorted(text.partition("\n")[2].replace("\n", "")) == sorted("1234" * 4)
        assert player_of(page, "sudoku-player").locator(".ll-board .ll-slot:visible").count() == 16
        assert player_of(page, "sudoku-player").locator(".ll-conflict").count() == 0
        puzzles = json.loads((SPACE / "llada_space/puzzles.json").read_text(encoding="utf-8"))
        fill(page, "sudoku-puzzle", puzzles["9x9"]["hard"][0])
        page.get_by_label("all digits in one pass").check()
        run(page, "sudoku-go", "sudoku-player")
        page.locator("#sudoku-verdict").get_by_text("cells are in conflict").wait_for()
        assert player_of(page, "sudoku-player").locator(".ll-conflict").count() > 1
        fill(page, "sudoku-puzzle", "11..\n" * 4)
        page.locator("#sudoku-go").click()
        page.get_by_text("Row 1 has the digit 1 twice").first.wait_for()

    def test_pictures(self, page, open_page):
        open_tab(page, "Pictures")
        page.get_by_role("button", name="a wide sign").click()
        page.get_by_text("2 × 5 tiles of that size: 115 image tokens").wait_for()
        question = page.locator("#pictures-question textarea, #pictures-question input").first
        wait_for_value(question, "Is the sign wide?")
        page.get_by_role("button", name="这是什么？ · What is it?").click()
        wait_for_value(question, "这是什么？")
        page.locator(".ll-gloss", has_text="What is it?").locator("visible=true").first.wait_for()
        run(page, "pictures-go", "pictures-player")
        player = player_of(page, "pictures-player")
        shown = [text.strip() for text in player.locator(".ll-cell:visible").all_inner_texts()]
        assert shown[0] == "[image]" and "这是什么？" in "".join(shown) and len(shown) < 60
        player.locator(".ll-canvas").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert "[image]" not in player.locator(".ll-bubble").inner_text(), "the whole picture is one stop"
        player.locator(".ll-export", has_text="Copy link").click()
        other = open_page(page.evaluate("location.search"))
        other.get_by_text("115 image tokens").wait_for()
        assert other.locator("#pictures-samples [aria-pressed=true]").get_attribute("title") == "a wide sign"
        assert wait_for_status(other, "pictures-player", "done") == player.get_attribute("data-text")

    def test_pictures_of_ones_own(self, page, tmp_path):
        from PIL import Image

        open_tab(page, "Pictures")
        page.get_by_role("button", name="two red dots").click()
        field = page.locator("#pictures-upload input[type=file]")
        (tmp_path / "broken.png").write_bytes(b"no picture")
        field.set_input_files(tmp_path / "broken.png")
        page.get_by_test_id("toast-body").get_by_text("cannot be read as a picture").wait_for()
        Image.new("RGB", (140, 70), "olive").save(tmp_path / "photo.png")
        field.set_input_files(tmp_path / "photo.png")
        page.get_by_text("140 × 70 pixels").wait_for()
        assert page.locator("#pictures-samples [aria-pressed=true]").count() == 0
        wait_for_status(page, "pictures-player", "empty")
        run(page, "pictures-go", "pictures-player")
        player_of(page, "pictures-player").locator(".ll-export", has_text="Copy link").click()
        assert "A link cannot carry your own picture" in player_of(page, "pictures-player").inner_text()
        page.get_by_role("button", name="two red dots").click()
        page.get_by_text("120 × 160 pixels").wait_for()

    def test_compare_in_step(self, page):
        open_tab(page, "Compare")
        assert run(page, "compare-go", "compare-a", "compare-b") == [TEXT, TEXT]
        verdict = page.locator("#compare-verdict")
        verdict.get_by_text("times fewer passes · the same text").wait_for()
        assert "A: 19 passes" in verdict.inner_text()
        page.locator("#compare-a .ll-slider").focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert [player_of(page, name).get_attribute("data-step") for name in ("compare-a", "compare-b")] == ["2", "2"]


def test_another_model_is_chosen(open_page):
    page = open_page()
    page.locator("#model input").click()
    page.get_by_role("option", name="llada-poet-instruct", exact=True).click()
    generate(page)
    page.locator("#generate-player .ll-export", has_text="Copy link").click()
    assert page.evaluate("new URLSearchParams(location.search).get('model')") == "llada-poet-instruct"


def test_a_phone_shows_the_canvas_when_a_run_starts(open_page):
    page = open_page(width=390)
    press_generate(page)
    wait_for_status(page, "generate-player", "running")
    page.wait_for_function(
        """() => {
            const box = document.querySelector('#generate-player .ll-canvas').getBoundingClientRect();
            return box.top >= 0 && box.bottom <= window.innerHeight;
        }"""
    )
    cells = page.locator("#generate-player .ll-given:not(.ll-header)").evaluate_all(
        "cells => cells.map(cell => cell.getBoundingClientRect()).map(box => [box.top, box.width])"
    )
    wait_for_status(page, "generate-player", "done")
    page.locator("#generate-player .ll-committed").first.click()
    bubble, controls = (page.locator(f"#generate-player .ll-{name}").bounding_box() for name in ("bubble", "controls"))
    assert bubble["y"] >= controls["y"] + controls["height"], "it hides no part of the player"
    assert len({top for top, _ in cells}) == 1 and min(width for _, width in cells) > 36  # one line of verse in a row


RUNS = {
    "Generate": ("generate-go", "generate-player"),
    "Chat": ("chat-go", "chat-player"),
    "Infill": ("infill-go", "infill-player"),
    "Reverse": ("reverse-go", "reverse-before", "reverse-after"),
    "Compare": ("compare-go", "compare-a", "compare-b"),
    "Pictures": ("pictures-go", "pictures-player"),
    "Sudoku": ("sudoku-go", "sudoku-player"),
}


def test_settings_that_are_no_preset_any_more(page):
    chosen = page.locator("input[type=radio][value='pure diffusion']").locator("visible=true").first
    field = page.get_by_label("number input for Temperature").locator("visible=true")
    for value, note in (("0.5", "Your own settings."), ("0", "One block, one token a pass")):
        field.fill(value)
        field.press("Tab")
        page.get_by_text(note).locator("visible=true").first.wait_for()
        assert chosen.is_checked() == (value == "0")


@pytest.mark.parametrize("width", [1280, 390])
def test_fits_the_screen(page, width):
    """No tab is wider than the screen. The folder in SPACE_SHOTS gets a picture of each."""
    page.set_viewport_size({"width": width, "height": 900})
    title = page.locator("h1").bounding_box()["x"]
    for tab, (button, *players) in RUNS.items():
        open_tab(page, tab)
        page.locator(f"#{players[0]} .ll-player").wait_for()
        if player_of(page, players[0]).get_attribute("data-status") != "done":
            run(page, button, *players)
        if shots := os.environ.get("SPACE_SHOTS"):
            page.screenshot(path=Path(shots) / f"{tab.lower()}-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("h1").bounding_box()["x"] == title, "the page stays where it is"
        for player in players:
            rights = page.locator(f"#{player} .ll-cell").evaluate_all(
                "cells => cells.map(cell => cell.getBoundingClientRect().right)"
            )
            assert max(rights) <= width
    page.set_viewport_size({"width": 1280, "height": 900})


def test_sixteen_people_at_once(server):
    """Each gets their own poem, most see their place in the queue, and a visit costs little memory."""
    for number in range(2):
        visits = visit_together(server.url, PEOPLE)
        assert all(visit.text.startswith(visit.prompt) for visit in visits), "somebody got the poem of another"
        assert max(max(visit.positions, default=0) for visit in visits) >= PEOPLE // 2
        if number == 0:
            before = server.resident_megabytes()
    # Over many rounds a visit costs 0.7 MB, but the memory of a process grows in leaps.
    assert server.resident_megabytes() - before < 5 * PEOPLE
