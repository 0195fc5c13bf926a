# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Measures how long the Space takes to start, and from a click to the first step in a browser.

PYTHONPATH=tests python tests/support/space_latency.py --starts 3
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from support.space_server import build, serve


# Notes the times of the click, of the canvas of masks, and of the first step.
WATCH = """() => {
    const player = document.querySelector("#generate-player .ll-player"), times = window.times = {};
    document.querySelector("#generate-go").addEventListener("click", () => { times.click = performance.now(); });
    new MutationObserver(() => {
        const step = player.dataset.step;
        if (times.click && !times.masks && step === "0") times.masks = performance.now() - times.click;
        if (times.masks && !times.step && Number(step) >= 1) times.step = performance.now() - times.click;
    }).observe(player, { attributes: true });
}"""


def measure_clicks(url: str, browser, count: int) -> list[dict]:
    """Milliseconds from each click to the canvas of masks and to the first step."""
    context = browser.new_context()
    times = []
    for _ in range(count):
        page = context.new_page()
        page.goto(url)
        page.locator("#generate-player .ll-player").wait_for()
        page.evaluate(WATCH)
        page.locator("#generate-go").click()
        page.wait_for_function("window.times.step", timeout=60000)
        times.append(page.evaluate("window.times"))
        page.locator("#generate-player .ll-player[data-status=done]").wait_for()
        page.close()
    context.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="how often the Space is started (%(default)s)")
    parser.add_argument("--clicks", type=int, default=3, help="clicks after each start (%(default)s)")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="%(default)s by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as workdir, sync_playwright() as playwright:
        folder = build(Path(workdir) / "built")
        browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        for _ in range(args.starts):
            with serve(folder, Path(workdir), Path(workdir) / "log.txt") as server:
                times = measure_clicks(server.url, browser, args.clicks)
            clicks = ", ".join(f"{each['masks']:.0f} / {each['step']:.0f}" for each in times)
            sys.stdout.write(
                f"ready after {server.seconds_to_ready:.1f} s; click to masks / to the first step in ms: {clicks} "
                f"(load {os.getloadavg()[0]:.1f})\n"
            )
        browser.close()


if __name__ == "__main__":
    main()
