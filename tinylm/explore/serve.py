"""Pages that answer prompts live, from this machine to this machine alone.

The server listens on 127.0.0.1. Other programs and web pages may reach that address too, so:
a random token in the address, which no page can guess; `Host` must be ours, or a foreign name could
be pointed at 127.0.0.1 and read the answers (DNS rebinding); `Origin`, where a browser names it,
must be ours too; requests are small; the policy of the page allows nothing but its own scripts. An
error of ours is told in the terminal, and the browser gets one line. Read first: page.py.
"""

import hmac
import html
import re
import secrets
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

LARGEST = 64_000  # bytes of a request
LONGEST = 20_000  # characters of one field
FIELDS = "prompt", "expression"
PATIENCE = 15  # seconds for a request to arrive


class Server(ThreadingHTTPServer):
    """An HTTP server for one reader.

    make     (dict of FIELDS) -> the page as HTML, with form() in it
    port     0 takes a free one
    """

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, make: Callable[[dict], str], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.make = make
        self.token = secrets.token_urlsafe(24)
        self.one_at_a_time = threading.Lock()  # a model reads one prompt at a time

    @property
    def hosts(self) -> tuple[str, str]:
        """The names under which a browser may ask."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    @property
    def address(self) -> str:
        """Where to look, with the token."""
        return f"http://{self.hosts[0]}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is no event; anything else is told in the terminal."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            traceback.print_exc()


class Handler(BaseHTTPRequestHandler):
    """Answers GET and POST of one address, and nothing else."""

    timeout = PATIENCE
    server_version, sys_version = "tinylm", ""

    def do_GET(self) -> None:
        """The page as it begins."""
        if self._is_welcome():
            self._answer({})

    def do_POST(self) -> None:
        """The page for the fields of the form."""
        if not self._is_welcome():
            return
        origin = self.headers.get("Origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.server.hosts]:
            return self._refuse(403, "this form belongs to another page")
        kind = self.headers.get_content_type()
        if kind != "application/x-www-form-urlencoded":
            return self._refuse(415, "only the form of the page is read")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length):
            return self._refuse(411, "the length of the request is missing")
        if int(length) > LARGEST:
            return self._refuse(413, f"more than {LARGEST} bytes: give a shorter prompt")
        body = self.rfile.read(int(length)).decode("utf-8", errors="replace")
        try:
            sent = parse_qs(body, keep_blank_values=True, max_num_fields=len(FIELDS))
        except ValueError:
            return self._refuse(400, "more fields than the form has")
        # A browser sends the line ends of a text as CR LF.
        fields = {name: sent[name][0].replace("\r\n", "\n") for name in FIELDS if name in sent}
        if any(len(text) > LONGEST for text in fields.values()):
            return self._refuse(413, f"more than {LONGEST} characters: give a shorter prompt")
        self._answer(fields)

    def _is_welcome(self):
        """True for our own host and token; else the request has been refused."""
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            self._refuse(403, "this server answers under its own address alone")
            return False
        expected = f"/{self.server.token}/".encode()
        if not hmac.compare_digest(self.path.encode("utf-8", "replace"), expected):
            self._refuse(404, "nothing is here: open the address that the terminal shows")
            return False
        return True

    def _answer(self, fields):
        try:
            with self.server.one_at_a_time:
                text = self.server.make(fields)
        except Exception:
            # The browser is told no more than this: a traceback names files and values.
            traceback.print_exc()
            return self._refuse(500, "the page could not be made: the terminal says why")
        policy = re.search('Security-Policy" content="(.+?)"', text)[1]
        policy = html.unescape(policy) + "; frame-ancestors 'none'"
        self._send(200, "text/html; charset=utf-8", text.encode("utf-8"), policy)

    def _refuse(self, status, reason):
        self.close_connection = True  # what it still sends is not read
        policy = "default-src 'none'; frame-ancestors 'none'"
        self._send(status, "text/plain; charset=utf-8", f"{reason}\n".encode(), policy)

    def _send(self, status, kind, body, policy):
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "same-origin",  # the token leaves with no link
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses (another method, a broken request), as one line."""
        self._refuse(code, message or "this request is not understood")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address holds the token, and the prompt is the reader's."""


def form(fields: dict, error: str = "") -> str:
    """The form of a served page.

    fields   what it holds now
    error    told above it
    returns  HTML
    """
    prompt, expression = (html.escape(fields.get(name, "")) for name in FIELDS)
    told = f'<p class="failed" role="alert">{html.escape(error)}</p>' if error else ""
    return (
        f'<form class="prompt" method="post">{told}'
        f'<label for="prompt">Prompt</label><textarea id="prompt" name="prompt" dir="auto" '
        f'spellcheck="false" maxlength="{LONGEST}">\n{prompt}</textarea>'
        f'<label for="expression">Expression whose gradients are shown</label>'
        f'<input id="expression" name="expression" type="text" value="{expression}" '
        f'spellcheck="false" maxlength="400">'
        '<div class="row"><button type="submit">Look</button></div></form>'
    )


def serve(make: Callable[[dict], str], port: int = 0, report: Callable = print) -> None:
    """Serve until Ctrl-C.

    make, port  as of Server
    report      called with the lines for the terminal
    raises      OSError if the port is taken
    """
    with Server(make, port) as server:
        report(f"Open {server.address}")
        report("Only this machine can, and only with this address. Ctrl-C ends it.")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt as stopped:
            report("\nended")
            if type(stopped) is not KeyboardInterrupt:  # SIGTERM has a status of its own
                raise
