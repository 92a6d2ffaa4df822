"""Pages opened in a real browser, and tiny runs to make them of."""

import contextlib

import pytest

from tinylm.cli import main


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
            section.locator(".stage > *").first.wait_for(state="attached")
        return self


@pytest.fixture
def open_page(chromium, tmp_path):
    """open_page(html, width=1200, dark=False): an Opened from a file on disk.

    bypass  without the page's policy, for a test that adds a script of its own
    """
    with contextlib.ExitStack() as stack:

        def opened(html, width=1200, dark=False, bypass=False):
            scheme = "dark" if dark else "light"
            size = {"width": width, "height": 900}
            context = chromium.new_context(viewport=size, color_scheme=scheme, bypass_csp=bypass)
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


TEXT = "To be, or not to be, that is the question: whether 'tis nobler in the mind. " * 40


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """runs(objective): the directory of a tiny run of that objective, trained for two steps."""
    made = {}

    def run(objective, **options):
        key = (objective, *sorted(options.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp("run")
            (folder / "text.txt").write_text(TEXT, encoding="utf-8")
            sizes = {"n_layer": 2, "n_head": 2, "d_model": 16, "context": 32, "batch_size": 2}
            sizes |= {"tokenizer": "bytes", "data": folder / "text.txt", "workers": 1, "steps": 2}
            sizes |= {"objective": objective, "out": folder / "run"} | options
            words = [f"--{name.replace('_', '-')}={value}" for name, value in sizes.items()]
            assert main(["train", *words]) == 0
            made[key] = str(folder / "run")
        return made[key]

    return run
