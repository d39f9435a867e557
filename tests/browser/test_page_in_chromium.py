"""A report in a browser: it is drawn, complains of nothing, fetches nothing, and fits narrow and wide windows, light and dark."""

from __future__ import annotations

import base64
import json
import os
import shutil
from contextlib import contextmanager
from io import BytesIO

import pytest
from histories import NASTY, history, run, timeline, trained
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

import stoker
from stoker.feed.meter import KEPT
from stoker.reporting.page_timeline import timeline_figure

pytestmark = pytest.mark.slow

WIDTHS = (1280, 400)
THEMES = ("light", "dark")
HEIGHT_PX = 900
FEWEST_COLOURS = 20
QUICK_MS = 60_000
"""A page that takes long on a machine that is busy with other things is drawn in a second on a quiet one."""
LIMIT_S = 60
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking")
NETWORK = "Network.requestWillBeSent"


@contextmanager
def chromium():
    """A headless browser, ended with all its processes."""
    browser, driver = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if not (browser and driver):
        if os.environ.get("CI") == "true":
            pytest.fail("CI=true, and chromium or chromedriver is not there: apt-get install chromium chromium-driver")
        pytest.skip("chromium or chromedriver is not there: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield opened
    finally:
        opened.quit()


def show(browser, path, width=1280, theme="light"):
    """Open a page in a window of some width, light or dark."""
    set_theme(browser, theme)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": HEIGHT_PX, "deviceScaleFactor": 1, "mobile": width < 500})
    browser.get(path.as_uri())


def set_theme(browser, theme):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})


def count(browser, selector):
    return browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector)


def complaints(browser):
    return [line["message"] for line in browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]


def requests(browser):
    """Addresses that were asked for, the page itself aside."""
    told = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in told if one["method"] == NETWORK]
    return [url for url in asked if not url.endswith("run.html") and not url.startswith("data:")]


def colours(browser):
    """How many different colours a screenshot of the whole page has, and how bright its corner is."""
    width, height = browser.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    with Image.open(BytesIO(base64.b64decode(picture["data"]))) as opened:
        found = opened.convert("RGB")
    return len(found.getcolors(1 << 24)), sum(found.getpixel((1, 1))) / 3


def test_a_real_run_is_drawn_at_every_width_light_and_dark(tmp_path):
    of = trained()
    path = stoker.report(of, tmp_path / "run.html")
    drawing = timeline_figure(of.timeline, of.feed[-1])  # it leaves out what was made before the epoch: how much, the clock decides
    bars = len(of.feed) + sum(len(trace["base"]) for trace in drawing.data if trace["type"] == "bar")
    with chromium() as browser:
        for width in WIDTHS:
            for theme in THEMES:
                show(browser, path, width, theme)
                assert count(browser, ".plot .main-svg") >= 4, "loss, mae, timeline, waits"
                assert count(browser, ".plot .scatterlayer .trace") == 5, "two curves twice, and what lay ready"
                assert count(browser, ".plot .barlayer .point") == bars > 40, "waits by epoch, makes, steps, waits"
                wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
                assert wide[0] <= wide[1] == width
                drawn, brightness = colours(browser)
                assert drawn > FEWEST_COLOURS and (brightness > 200) == (theme == "light")
        assert not complaints(browser)
        assert not requests(browser)
        assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_verdicts_of_epochs_can_be_read_without_scrolling_sideways(tmp_path):
    path = stoker.report(history(names=("loss", "accuracy", "top_5_accuracy", "val_loss", "val_accuracy")), tmp_path / "run.html")
    ends = """
        const box = document.querySelector('.scroll').getBoundingClientRect();
        return [...document.querySelectorAll('.said div')].map(div => {
            const at = div.getBoundingClientRect(); return [at.left >= box.left, at.right <= box.right, div.textContent.length]})"""
    with chromium() as browser:
        for width in WIDTHS:
            show(browser, path, width)
            for scrolled in (0, 10_000):
                browser.execute_script("document.querySelector('.scroll').scrollLeft = arguments[0]", scrolled)
                shown = browser.execute_script(ends)
                assert len(shown) == 3 and all(left and right and length > 50 for left, right, length in shown), (width, scrolled)


def test_figures_become_dark_while_the_page_is_open_and_keep_their_zoom(tmp_path):
    path = stoker.report(history(), tmp_path / "run.html")
    ink = "return getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    zoom = "return document.getElementById('figure-0').layout.xaxis.range"
    with chromium() as browser:
        show(browser, path)
        light = browser.execute_script(ink)
        browser.execute_script("return Plotly.relayout('figure-0', {'xaxis.range': [1.5, 2.5]})")
        browser.find_element("css selector", "button[data-log]").click()
        set_theme(browser, "dark")
        WebDriverWait(browser, LIMIT_S).until(lambda browser: browser.execute_script(ink) != light)
        assert browser.execute_script(zoom) == [1.5, 2.5]
        assert browser.execute_script("return document.getElementById('figure-0').layout.yaxis.type") == "log"
        assert not complaints(browser)


def test_the_switch_of_the_loss_goes_to_a_logarithmic_scale_and_back(tmp_path):
    path = stoker.report(history(), tmp_path / "run.html")
    scale = "return document.getElementById('figure-0')._fullLayout.yaxis.type"
    with chromium() as browser:
        show(browser, path)
        switch = browser.find_element("css selector", "button[data-log='figure-0']")
        assert browser.execute_script(scale) == "linear"
        switch.click()
        assert browser.execute_script(scale) == "log" and switch.get_attribute("aria-pressed") == "true"
        switch.click()
        assert browser.execute_script(scale) == "linear" and switch.get_attribute("aria-pressed") == "false"


def test_a_timeline_of_two_thousand_batches_is_drawn_quickly_and_goes_to_the_straggler(tmp_path):
    path = stoker.report(history(timeline=timeline(KEPT, 4, cross_s=0.001, slow_at=1000)), tmp_path / "run.html")
    with chromium() as browser:
        show(browser, path, 400)
        assert count(browser, ".plot .barlayer .point") >= 4 * KEPT, "makes, crossings, steps, waits"
        assert browser.execute_script("return performance.timing.loadEventEnd - performance.timing.navigationStart") < QUICK_MS
        browser.find_element("xpath", "//button[text()='Slowest batch']").click()
        first, last = browser.execute_script("return document.querySelector('figure.wide .plot').layout.xaxis.range")
        assert first < 10.0 < last < 14.0
        bar = browser.find_element("css selector", ".plot .barlayer .trace:nth-child(2) path")
        ActionChains(browser).move_to_element_with_offset(bar, 3 - bar.size["width"] // 2, 0).perform()  # its beginning
        WebDriverWait(browser, LIMIT_S).until(lambda browser: count(browser, ".hoverlayer .hovertext"))
        said = browser.find_element("css selector", ".hoverlayer .hovertext").text
        assert said.replace("\n", "") == "batch 1,001 (index 1,000)worker 0: made in 300 ms"
        assert not complaints(browser)


def test_many_thin_bars_take_the_share_of_the_lane_that_they_took_of_the_time(tmp_path):
    """Plotly blows up bars that are thinner than a pixel, and short waits would look like waiting all the time."""
    path = stoker.report(history(timeline=timeline(KEPT, 2, step_s=0.0049)), tmp_path / "run.html")
    shown = """
        const div = document.querySelector('figure.wide .plot');
        const waits = [...div.querySelectorAll('.barlayer .trace')].at(-1).querySelectorAll('path');
        return [[...waits].reduce((sum, bar) => sum + bar.getBBox().width, 0), div._fullLayout.xaxis._length]"""
    with chromium() as browser:
        show(browser, path)
        waited, wide = browser.execute_script(shown)
    assert waited / wide == pytest.approx(KEPT * 0.002 / 10, rel=0.15)


def test_text_of_the_users_runs_no_script_and_opens_no_tag(tmp_path):
    nasty = f"{NASTY}<img src=x onerror=\"document.title='hit'\">"
    of = history(names=(nasty, f"val_{nasty}"), run=run(3, nasty, **{nasty: nasty}))
    path = stoker.report(of, tmp_path / "run.html")
    with chromium() as browser:
        show(browser, path)
        assert browser.title.startswith(nasty), "shown as it is"
        assert count(browser, "img") == 0 and count(browser, ".plot .scatterlayer .trace") >= 2
        assert not complaints(browser)
