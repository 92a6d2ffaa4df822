"""A real browser for the pages, one for each worker; skipped where there is none."""

import contextlib
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")


class Opened:
    """A page in the browser, and what it should never do."""

    def __init__(self, page):
        self.page = page
        self.complaints = []  # of the console, and errors that nothing caught
        self.requests = []  # all but the page itself: each was aborted

    def drawn(self):
        """Scroll to every figure, so that all are drawn."""
        for section in self.page.locator(".figure").all():
            section.scroll_into_view_if_needed()
            self.page.wait_for_function(
                "id => document.getElementById(id).dataset.drawn && "
                "document.querySelector(`#${id} .stage`).childElementCount",
                arg=section.get_attribute("id"),
            )
        return self


@pytest.fixture(scope="session")
def chromium():
    """One browser process for all tests of a worker."""
    api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, tmp_path):
    """open_page(html, width=1200, dark=False): an Opened from a file on disk."""
    with contextlib.ExitStack() as stack:

        def opened(html, width=1200, dark=False):
            scheme = "dark" if dark else "light"
            size = {"width": width, "height": 900}
            context = chromium.new_context(viewport=size, color_scheme=scheme)
            stack.callback(context.close)
            found = Opened(context.new_page())
            found.page.on("console", lambda line: found.complaints.append(line.text))
            found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
            path = tmp_path / "page.html"
            path.write_text(html, encoding="utf-8")

            def judged(route):
                if route.request.url == path.as_uri():
                    return route.continue_()
                found.requests.append(route.request.url)
                return route.abort()

            context.route("**/*", judged)
            found.page.goto(path.as_uri())
            return found

        yield opened
