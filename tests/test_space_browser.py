# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The Space in a real browser, as a person uses it. The built folder is what runs."""

import json
import os
import re
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from space_server import build, serve
from tiny_poet import SHIPPED_CHECKPOINT


pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
TEXT = "五言绝句\n床前明月光，疑是地上霜。举头望明月，低头思故乡。"


def missing(what: str) -> None:
    """Skips, but for CI, where these tests have to run."""
    if os.environ.get("CI"):
        pytest.fail(f"CI has to run the browser tests, but {what}")
    pytest.skip(what)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if find_spec("gradio") is None:
        missing("gradio is not installed (pip install 'modeling-llada[space]')")
    folder = build(tmp_path_factory.mktemp("space") / "built")
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
    """One profile for all tests: the files of the page are read once."""
    context = browser.new_context(accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def open_page(server, context):
    """Opens the page; at the end of the test nothing may have been complained about in the console."""
    pages, errors = [], []

    def open_at(query="", width=1280):
        page = context.new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        page.set_default_timeout(30000)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server.url}/{query}")
        page.locator("#generate-player .ll-player").wait_for()
        return page

    yield open_at
    for page in pages:
        page.close()
    assert errors == []


def player_of(page, name):
    return page.locator(f"#{name} .ll-player")


def wait_for_status(page, name, status, timeout=30000):
    page.locator(f"#{name} .ll-player[data-status={status}]").wait_for(timeout=timeout)
    return player_of(page, name).get_attribute("data-text")


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def fill(page, element_id, text):
    page.locator(f"#{element_id} textarea, #{element_id} input").first.fill(text)


def choose(page, label, value):
    """Sets a number of the tab that is shown."""
    field = page.get_by_label(label, exact=True).locator("visible=true").first
    field.fill(str(value))
    field.press("Tab")


def fields_of_a_long_run(page):
    """A run of 256 passes: the canvas has to become text to its end."""
    page.get_by_text("paper's GSM8K setting").locator("visible=true").first.click()
    page.get_by_text("All decoding options").locator("visible=true").first.click()
    page.get_by_label("Never end").locator("visible=true").first.check()
    page.wait_for_timeout(500)
    fill(page, "generate-prompt", "床前明月光，")
    page.get_by_label("Form").locator("visible=true").first.click()
    page.get_by_role("option", name="any", exact=True).click()


class TestGenerate:
    def test_denoises_live(self, open_page):
        page = open_page()
        start = time.monotonic()
        page.get_by_role("button", name="Generate", exact=True).click()
        player, frames, first = player_of(page, "generate-player"), set(), None
        while (status := player.get_attribute("data-status")) != "done" and time.monotonic() < start + 60:
            if status == "running":
                first = first or time.monotonic() - start
                frames.add((player.get_attribute("data-step"), player.locator(".ll-mask").count()))
        assert len(frames) >= 10
        assert len({masks for _, masks in frames}) >= 8
        assert first < 10  # 0.5 s on a free machine; tests share theirs
        assert player.get_attribute("data-text") == TEXT
        assert player.locator(".ll-end").count() == 1

    def test_costs_and_the_order_of_commits(self, open_page):
        page = open_page()
        page.get_by_role("button", name="Generate", exact=True).click()
        wait_for_status(page, "generate-player", "done")
        player = player_of(page, "generate-player")
        chips = player.locator(".ll-chip")
        chips.nth(3).wait_for()
        assert [text.split(maxsplit=1)[0] for text in chips.all_inner_texts()[:3]] == ["19", "19", "1.00"]
        assert player.locator(".ll-chart circle").count() == 19
        page.get_by_text("fast: dual cache + threshold").locator("visible=true").first.click()
        page.wait_for_timeout(700)
        page.get_by_role("button", name="Generate", exact=True).click()
        player.locator(".ll-history").wait_for()
        rows = [row.split("\t")[:2] for row in player.locator(".ll-history tbody tr").all_inner_texts()]
        assert rows[0] == ["pure diffusion", "19"]
        assert rows[1][0] == "fast: dual cache + threshold" and int(rows[1][1]) < 19

    def test_a_token_tells_its_step_confidence_and_rivals(self, open_page):
        page = open_page()
        page.get_by_role("button", name="Generate", exact=True).click()
        wait_for_status(page, "generate-player", "done")
        player = player_of(page, "generate-player")
        player.locator(".ll-committed").first.hover()
        lines = player.locator(".ll-bubble-line").all_inner_texts()
        assert re.fullmatch(r"committed at step \d+ · position 12", lines[0])
        assert re.fullmatch(r"confidence 0\.\d{3}|confidence 1\.000", lines[1])
        assert lines[2].startswith("runners-up: ")
        page.mouse.move(5, 5)
        player.locator(".ll-bubble").wait_for(state="hidden")
        player.locator(".ll-canvas").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert "given · position 2" in player.locator(".ll-bubble").inner_text()

    def test_stop_ends_the_computation(self, open_page, server):
        page = open_page()
        fields_of_a_long_run(page)
        page.get_by_role("button", name="Generate", exact=True).click()
        wait_for_status(page, "generate-player", "running")
        page.wait_for_timeout(1200)
        page.locator("#generate-stop").click()
        wait_for_status(page, "generate-player", "stopped")
        player = player_of(page, "generate-player")
        assert player.locator(".ll-mask").count() > 20
        assert "stopped at step" in player.locator(".ll-status").inner_text()
        page.wait_for_timeout(1500)
        before = server.cpu_seconds()
        page.wait_for_timeout(2000)
        assert server.cpu_seconds() - before < 0.5

    def test_a_closed_tab_frees_the_worker(self, open_page, server):
        page = open_page()
        fields_of_a_long_run(page)
        page.get_by_role("button", name="Generate", exact=True).click()
        wait_for_status(page, "generate-player", "running")
        page.close()
        other = open_page()
        other.get_by_role("button", name="Generate", exact=True).click()
        assert wait_for_status(other, "generate-player", "done") == TEXT
        other.wait_for_timeout(500)
        before = server.cpu_seconds()
        other.wait_for_timeout(2000)
        assert server.cpu_seconds() - before < 0.5

    def test_who_waits_sees_the_position(self, open_page):
        second = open_page()
        first = open_page()  # in front: Chromium slows down pages that nobody sees
        fields_of_a_long_run(first)
        first.get_by_role("button", name="Generate", exact=True).click()
        wait_for_status(first, "generate-player", "running")
        second.bring_to_front()
        second.get_by_role("button", name="Generate", exact=True).click()
        second.get_by_text(re.compile(r"queue: \d+/\d+")).locator("visible=true").first.wait_for()
        first.close()
        assert wait_for_status(second, "generate-player", "done") == TEXT

    def test_script_in_a_prompt_is_text(self, open_page):
        page = open_page()
        prompt = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
        fill(page, "generate-prompt", prompt)
        page.get_by_label("Form").locator("visible=true").first.click()
        page.get_by_role("option", name="any", exact=True).click()
        page.get_by_role("button", name="Generate", exact=True).click()
        text = wait_for_status(page, "generate-player", "done", timeout=60000)
        assert "<script>" in text or "script" in text
        assert page.evaluate("window.hacked") is None
        assert page.locator(".ll-canvas img").count() == 0

    def test_errors_are_toasts_with_the_reason(self, open_page):
        page = open_page()
        fill(page, "generate-prompt", "床" * 60)
        page.get_by_role("button", name="Generate", exact=True).click()
        toast = page.get_by_test_id("toast-body")
        toast.wait_for()
        assert "五言绝句 has 24 characters" in toast.inner_text()


class TestScrub:
    @pytest.fixture
    def page(self, open_page):
        page = open_page()
        page.get_by_role("button", name="Generate", exact=True).click()
        wait_for_status(page, "generate-player", "done")
        page.locator("#generate-player .ll-chip").first.wait_for()
        return page

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
        player.locator(".ll-play").click()
        page.wait_for_timeout(700)
        player.locator(".ll-play").click()
        step = int(player.get_attribute("data-step"))
        assert 0 < step < 19
        page.wait_for_timeout(400)
        assert int(player.get_attribute("data-step")) == step

    def test_exports(self, page, tmp_path):
        from PIL import Image
        from transformers import AutoTokenizer

        from modeling_llada.records import DenoisingRecord

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
        assert query.startswith("?tab=generate&form=")
        other = open_page(query.replace("max_new_tokens=64", "max_new_tokens=33").replace("temperature=0", ""))
        other.wait_for_timeout(800)
        assert other.locator("#generate-prompt textarea").input_value() == "床前明月光，"
        assert other.get_by_label("number input for Length (masks)").locator("visible=true").input_value() == "33"

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
    def test_chat(self, open_page):
        page = open_page()
        open_tab(page, "Chat")
        page.locator("#chat-go").click()
        text = wait_for_status(page, "chat-player", "done")
        assert text == "床前明月光，疑是地上霜。"
        assert "疑是地上霜。" in page.locator("#chat-messages").inner_text()
        assert page.locator("#chat-message textarea").input_value() == ""

    def test_infill_keeps_what_is_given(self, open_page):
        page = open_page()
        open_tab(page, "Infill")
        page.locator("#infill-go").click()
        assert wait_for_status(page, "infill-player", "done") == "床前明月光，疑是地上霜。"
        assert (
            page.locator("#infill-result textarea, #infill-result input").first.input_value()
            == "床前明月光，疑是地上霜。"
        )

    def test_selected_words_are_opened_again(self, open_page):
        page = open_page()
        open_tab(page, "Infill")
        area = page.locator("#infill-text textarea")
        area.fill("白日依山尽，黄河入海流。")
        area.evaluate("element => element.setSelectionRange(6, 8)")
        page.locator("#infill-reopen").click()
        page.wait_for_function("document.querySelector('#infill-text textarea').value.includes('[[黄河]]')")
        page.locator("#infill-go").click()
        wait_for_status(page, "infill-player", "done")
        player = player_of(page, "infill-player")
        assert player.locator(".ll-given").count() == 10
        assert player.get_attribute("data-text") == "白日依山尽，黄河入海流。"

    def test_reverse_beside_forward(self, open_page):
        page = open_page()
        open_tab(page, "Reverse")
        fill(page, "reverse-line", "黄河入海流。")
        page.locator("#reverse-go").click()
        assert wait_for_status(page, "reverse-before", "done") == "白日依山尽，黄河入海流。"
        behind = wait_for_status(page, "reverse-behind", "done")
        assert behind.startswith("黄河入海流。") and len(behind) == 12

    def test_compare_in_step(self, open_page):
        page = open_page()
        open_tab(page, "Compare")
        page.locator("#compare-go").click()
        assert wait_for_status(page, "compare-a", "done") == TEXT
        wait_for_status(page, "compare-b", "done")
        verdict = page.locator("#compare-verdict")
        verdict.get_by_text("times fewer passes").wait_for()
        assert "A: 19 passes" in verdict.inner_text()
        page.locator("#compare-a .ll-slider").focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert [player_of(page, name).get_attribute("data-step") for name in ("compare-a", "compare-b")] == ["2", "2"]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_fits_the_screen(open_page, width, scheme, tmp_path):
    """Nothing sticks out, and every tab has room; the pictures of a run can be kept in SPACE_SHOTS."""
    page = open_page(f"?__theme={scheme}", width=width)
    shots = Path(os.environ.get("SPACE_SHOTS", tmp_path))
    runs = {
        "Generate": ("generate-go", "generate-player"),
        "Chat": ("chat-go", "chat-player"),
        "Infill": ("infill-go", "infill-player"),
        "Reverse": ("reverse-go", "reverse-behind"),
        "Compare": ("compare-go", "compare-a"),
    }
    for tab, (button, player) in runs.items():
        open_tab(page, tab)
        page.locator(f"#{button}").click()
        wait_for_status(page, player, "done")
        page.wait_for_timeout(300)
        page.screenshot(path=shots / f"{tab.lower()}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cells = page.locator(f"#{player} .ll-cell").evaluate_all(
            "cells => cells.map(cell => cell.getBoundingClientRect().right)"
        )
        assert max(cells) <= width
