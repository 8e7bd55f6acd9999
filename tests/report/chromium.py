"""Headless Chromium as tests use it: open a file, let a driver act on it, read what became of it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER, reason="needs Chromium (Debian: apt-get install chromium), which is not installed"),
]

# Runs a scenario after the page's own script and tells its result, and every error, to whoever frames the page.
DRIVER = """
const errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target.src || event.type)), true);
addEventListener("securitypolicyviolation", event => errors.push("policy: " + event.violatedDirective));
const all = (selector) => [...document.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);
const wait = (ms) => new Promise(done => setTimeout(done, ms));
const press = async (key, at) => {
  (at || document.activeElement || document.body).dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  await wait(40);
};
const choose = async (selector, value) => {
  const control = one(selector);
  control.value = value;
  control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
  await wait(250);
};
const facet = (name) => "#" + all(".x-field").find(f => f.firstChild.textContent === name).htmlFor;
const shown = () => one(".x-row[aria-selected=true] .x-title").textContent;
const layers = () => all(".x-sheet [data-layer]").map(node => node.dataset.layer);
addEventListener("load", async () => {
  let result;
  try { result = await (async () => { SCENARIO })(); } catch (error) { errors.push(String(error.stack || error)); }
  parent.postMessage(JSON.stringify({ result, errors }), "*");
});
"""


def act(page: Path, scenario: str, *, width: int = 1280, height: int = 900) -> tuple[Any, str]:
    """What a scenario (the body of an async function) returns on a copy of the page, and what the console said.

    Errors of any kind fail. The copy allows the driver beside the page's own script; nothing else of it changes.
    """
    driver = DRIVER.replace("SCENARIO", scenario)
    proof = base64.b64encode(hashlib.sha256(driver.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8")
    assert "script-src " in text
    text = text.replace("script-src ", f"script-src 'sha256-{proof}' ", 1).replace(
        "<style>", f"<script>{driver}</script><style>", 1
    )
    copy = page.with_name(f"driven-{page.name}")
    copy.write_text(text, encoding="utf-8")
    # Headless windows are at least 500 wide; a frame is as wide as it is told.
    outer = page.with_name(f"outer-{page.stem}.html")
    outer.write_text(
        "<script>onmessage = e => { document.title = e.data }</script>"
        f'<iframe src="{copy.name}" style="width:{width}px;height:{height}px;border:0"></iframe>',
        encoding="utf-8",
    )
    document, console = visit(outer, "--window-size=1600,1000")
    title = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    assert title is not None, console
    told = json.loads(html.unescape(title[1]))
    if told["errors"]:
        raise AssertionError(f"the page or the scenario failed: {told['errors']}; console: {console}")
    return told["result"], console


def visit(path: Path, *options: str) -> tuple[str, str]:
    """What the document became, and what the browser had to say about it."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        "--enable-logging=stderr", f"--user-data-dir={path.parent / 'profile'}", "--virtual-time-budget=60000",
        *options, "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
