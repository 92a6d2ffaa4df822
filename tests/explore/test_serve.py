"""The server answers its own page alone, and tells a stranger nothing."""

import http.client
import socket
import threading
import time
from urllib.parse import urlencode

import pytest

from tinylm.cli import main
from tinylm.explore import page
from tinylm.explore.serve import LARGEST, LONGEST, Server, form

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def told(fields):
    """A page that shows the fields; a prompt of "bug" is one of ours."""
    if fields.get("prompt") == "bug":
        raise RuntimeError("secret")
    return page("served", [], str(sorted(fields.items())), form(fields))


@pytest.fixture
def server():
    with Server(told) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, method="GET", path=None, body=None, headers=(), host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    sent = {"Host": host or server.hosts[0]} | dict(headers)
    connection.request(method, f"/{server.token}/" if path is None else path, body, sent)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_the_page_comes_with_a_strict_policy(server):
    answer, text = ask(server)
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status == 200 and "<form" in text
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    assert "form-action 'self'" in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"


def test_each_server_has_a_token_of_its_own(server):
    with Server(told) as other:
        assert other.token != server.token and len(server.token) >= 32


@pytest.mark.parametrize("path", ["/", "/wrong/", "/favicon.ico", "//", "/../etc/passwd"])
def test_without_the_token_there_is_nothing(server, path):
    for method in ("GET", "POST"):
        answer, text = ask(server, method, path, "prompt=a", FORM)
        assert answer.status == 404 and server.token not in text and "form" not in text


def test_the_token_is_the_whole_path(server):
    for path in (f"/{server.token}", f"/{server.token}/x", f"/{server.token}/?prompt=a"):
        assert ask(server, path=path)[0].status == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil:80"])
def test_a_foreign_host_is_refused(server, host):
    assert ask(server, host=host)[0].status == 403


def test_two_hosts_are_refused(server):
    with socket.create_connection(server.server_address, 20) as plain:
        host = f"Host: {server.hosts[0]}\r\n"
        plain.sendall(f"GET /{server.token}/ HTTP/1.1\r\n{host}{host}\r\n".encode())
        assert b" 403 " in plain.recv(100)


def test_localhost_is_ours_too(server):
    assert ask(server, host=server.hosts[1])[0].status == 200


def test_the_form_is_answered(server):
    body = urlencode({"prompt": "a\r\n<b> ü", "expression": "x * x"})
    answer, text = ask(server, "POST", None, body, FORM)
    assert answer.status == 200 and "a\n&lt;b&gt; ü</textarea>" in text and 'value="x * x"' in text


def test_a_form_of_another_page_is_refused(server):
    for origin in ("http://evil.example", "null", f"https://{server.hosts[0]}"):
        answer, _ = ask(server, "POST", None, "prompt=a", FORM | {"Origin": origin})
        assert answer.status == 403
    own = FORM | {"Origin": f"http://{server.hosts[0]}"}
    assert ask(server, "POST", None, "prompt=a", own)[0].status == 200


@pytest.mark.parametrize(
    "body, headers, status",
    [
        ("prompt=a", {"Content-Type": "text/plain"}, 415),
        ("x" * (LARGEST + 1), FORM, 413),
        ("prompt=" + "x" * (LONGEST + 1), FORM, 413),
        ("a=1&b=2&c=3", FORM, 400),
        ("prompt=a", FORM | {"Content-Length": "-1"}, 411),
        ("prompt=a", FORM | {"Content-Length": "1e9"}, 411),
    ],
)
def test_what_is_too_large_or_no_form_is_refused(server, body, headers, status):
    answer, text = ask(server, "POST", None, body, headers)
    assert answer.status == status and "Traceback" not in text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_other_methods_are_refused(server, method):
    answer, text = ask(server, method)
    assert answer.status == 501 and "<" not in text


def test_our_own_error_is_told_in_the_terminal_alone(server, capsys):
    answer, text = ask(server, "POST", None, "prompt=bug", FORM)
    assert answer.status == 500 and "secret" not in text and "Traceback" not in text
    assert "RuntimeError: secret" in capsys.readouterr().err
    assert ask(server)[0].status == 200  # and the next is answered


def test_a_request_that_never_ends_keeps_nobody_waiting(server):
    with socket.create_connection(server.server_address, 20) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\n")  # and nothing more
        assert ask(server)[0].status == 200


def test_ctrl_c_ends_it_cleanly(monkeypatch, capsys):
    def stopped(self, poll_interval):
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", stopped)
    assert main(["explore", "--serve"]) == 0
    said = capsys.readouterr().out
    assert "http://127.0.0.1:" in said and said.rstrip().endswith("ended")


# In the browser.


def test_a_prompt_is_answered_live(chromium, runs, monkeypatch):
    found = []
    stop = threading.Event()

    def serve_forever(self, poll_interval):
        found.append(self)
        while not stop.is_set():
            self.handle_request()

    monkeypatch.setattr(Server, "serve_forever", serve_forever)
    monkeypatch.setattr(Server, "timeout", 0.05)
    words = ["explore", runs("causal"), "--serve", "--figures", "next_token", "expression"]
    thread = threading.Thread(target=main, args=(words,), daemon=True)
    thread.start()
    while not found:
        time.sleep(0.01)
    try:
        context = chromium.new_context()
        view, complaints = context.new_page(), []
        view.on("console", lambda line: complaints.append(line.text))
        view.goto(found[0].address)
        view.get_by_label("Prompt").fill("or not</textarea>")
        view.get_by_role("button", name="Look").click()
        view.locator("header code", has_text="or not").wait_for()
        assert view.get_by_label("Prompt").input_value() == "or not</textarea>"
        view.get_by_label("Expression").fill("nothing(x)")
        view.get_by_role("button", name="Look").click()
        assert "not among the functions" in view.get_by_role("alert").inner_text()
        assert complaints == []
        context.close()
    finally:
        stop.set()
        thread.join()
