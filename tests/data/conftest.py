"""What the tests of data share: a server of files on this machine, and nothing of who runs them."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sonde.data import fetching


class Mirrors:
    """A server on this machine; the first part of the path says how it behaves."""

    def __init__(self, files):
        self.asked, self.stop, mirrors = [], threading.Event(), self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format, *args):
                pass

            def do_GET(self):
                mirrors.asked.append(self.path)
                behavior, file = self.path.strip("/").split("/")
                data = files[file]
                if behavior.isdigit():
                    return self.send_error(int(behavior))
                if behavior == "hangs":
                    return mirrors.stop.wait(30)
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if behavior == "stops":  # half of the file, then the line goes dead
                    self.wfile.write(data[: len(data) // 2])
                elif behavior == "stalls":
                    self.wfile.write(data[: len(data) // 2])
                    self.wfile.flush()
                    mirrors.stop.wait(30)
                elif behavior == "drips":  # never silent, never done
                    try:
                        for byte in data:
                            self.wfile.write(bytes([byte]))
                            self.wfile.flush()
                            if mirrors.stop.wait(0.02):
                                break
                    except OSError:
                        pass
                elif behavior == "lies":
                    self.wfile.write(bytes(len(data)))
                else:
                    self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def at(self, behavior):
        return f"http://127.0.0.1:{self.server.server_port}/{behavior}/"

    def close(self):
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A cache of its own; the data and the proxy of who runs the test are not met."""
    monkeypatch.setenv("SONDE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SONDE_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetching, "TIMEOUT", 5.0)


@pytest.fixture
def serve():
    """Serves files by name: ``serve(files).at("good")`` is an address."""
    made: list[Mirrors] = []

    def server(files):
        made.append(Mirrors(files))
        return made[-1]

    yield server
    for mirrors in made:
        mirrors.close()
