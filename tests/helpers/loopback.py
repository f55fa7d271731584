# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""An HTTP server on this machine that answers as an archive would, or fails."""

import collections
import dataclasses
import http.server
import os
import socket
import struct
import threading
import time
import urllib.parse


@dataclasses.dataclass
class Reply:
    """What the server answers: status, bytes, type, and how it goes wrong."""

    content: bytes = b''
    status: int = 200
    type: str = 'application/octet-stream'
    headers: dict = dataclasses.field(default_factory=dict)
    #: Seconds before the answer.
    delay: float = 0.0
    #: 'reset', 'truncate' (as long as said, but half of it) or 'stall'.
    fault: str | None = None


class Request:
    """What a client asked for."""

    def __init__(self, handler, body):
        url = urllib.parse.urlsplit(handler.path)
        self.method, self.path, self.body = handler.command, url.path, body
        self.query = dict(urllib.parse.parse_qsl(url.query))
        self.form = dict(urllib.parse.parse_qsl(body.decode('latin-1')))
        self.headers = dict(handler.headers)


class Loopback:
    """
    A server whose answers are functions of the request.

    ``route(prefix, answer)`` answers paths that begin so; ``answer`` takes a
    `Request` and returns a `Reply` or bytes. ``fail(reply, times, where)``
    answers the next requests, or those for which ``where(request)`` holds, with
    a failure first.
    """

    def __init__(self, wait=0.0):
        loopback = self
        # Seconds before each answer, as of an archive far away.
        self.wait = wait

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                loopback._handle(self)

            do_POST = do_GET  # noqa: N815

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, client_address):
                pass

        self._server = Server(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_port}'
        self.requests = []
        self.most_at_once = 0
        self._routes, self._faults = [], []
        self._seen = collections.Counter()
        self._now = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={'poll_interval': 0.02},
            daemon=True,
        )
        self._thread.start()

    def route(self, prefix, answer):
        """Answer all paths that begin so."""
        self._routes.insert(0, (prefix, answer))

    def fail(self, reply, *, times=1, where=None):
        """Answer so, each different request that many times."""
        self._faults.append((reply, times, where))

    def heal(self):
        """Answer all requests well from now on."""
        self._faults.clear()

    def close(self):
        """Stop, so that further connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, request):
        for number, (reply, times, where) in enumerate(self._faults):
            if where is None or where(request):
                key = number, request.path, tuple(sorted(request.query.items()))
                with self._lock:
                    self._seen[key] += 1
                    if self._seen[key] <= times:
                        return reply
        for prefix, answer in self._routes:
            if request.path.startswith(prefix):
                found = answer(request)
                return Reply(found) if isinstance(found, bytes) else found
        return Reply(status=404)

    def _handle(self, handler):
        length = int(handler.headers.get('Content-Length') or 0)
        request = Request(handler, handler.rfile.read(length))
        with self._lock:
            self.requests.append(request)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            time.sleep(self.wait)
            reply = self._reply(request)
            time.sleep(reply.delay)
        finally:
            # Before the last byte is out: who has it may ask for the next thing.
            with self._lock:
                self._now -= 1
        self._send(handler, reply)

    @staticmethod
    def _send(handler, reply):
        if reply.fault == 'stall':
            time.sleep(3600)
        if reply.fault == 'reset':
            # No goodbye: the other side sees a reset connection.
            linger = struct.pack('ii', 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.close_connection = True
            # Its files would keep a socket open that is only closed.
            os.close(handler.connection.detach())
            return
        handler.send_response(reply.status)
        handler.send_header('Content-Type', reply.type)
        handler.send_header('Content-Length', str(len(reply.content)))
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if reply.fault == 'truncate':
            handler.wfile.write(reply.content[: len(reply.content) // 2])
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.wfile.write(reply.content)
