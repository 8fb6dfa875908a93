"""Serving one page to the browser of this machine."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from spane_rllib.core.errors import UserError

_ADDRESS = "127.0.0.1"


class PageServer(ThreadingHTTPServer):
    """Serves `page` at `/` to this machine only, on `port` (0: any free one).

    Raises:
        UserError: the port is taken or not allowed.
    """

    daemon_threads = True

    def __init__(self, page: str, port: int = 0) -> None:
        self.page = page.encode()
        try:
            super().__init__((_ADDRESS, port), _Handler)
        except OSError as error:
            raise UserError(
                f"cannot listen on port {port}: {error.strerror or error}; give another --port"
            ) from error

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{_ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "spane_rllib"
    sys_version = ""

    def do_GET(self) -> None:
        # A foreign page whose name was made to point here (DNS rebinding) still sends that name.
        hosts = {f"{name}:{self.server.server_port}" for name in (_ADDRESS, "localhost")}
        if self.headers.get("Host") not in hosts:
            self.send_error(403, "for this machine only")
        elif self.path != "/":
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(self.server.page)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(self.server.page)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""
