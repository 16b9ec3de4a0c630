"""A telemetry backend that takes OTLP/HTTP over TLS, if the token is right.

    python backend.py --port 0 --cert FILE --key FILE --issuer URL --audience URI --ca FILE --journal FILE

It verifies every bearer token as an at+jwt of the issuer (its JWKS is fetched from there), and appends one JSON object
to the journal for each request: what was in it, in order, and whose token it came with; or why it was refused.
Prints {"event": "ready", "endpoint"} once it listens; ends when its standard input does. Starting it again with the
same port and journal is the end of an outage. While there is a file FILE.unauthorized beside the journal, no token is
good enough.
"""

import argparse
import gzip
import http.server
import json
import pathlib
import ssl
import sys
import threading

import jwt
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

BODY_AT_MOST = 16 << 20
# What the agent itself says of the device comes the same way; only the program's own records are numbered.
SERVICE = "greenhouse"


class Refused(Exception):
    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


class Tokens:
    """Verifies access tokens of one issuer for one audience."""

    def __init__(self, issuer, audience, ca):
        self.issuer = issuer
        self.audience = audience
        self.keys = jwt.PyJWKClient(f"{issuer}/jwks", ssl_context=ssl.create_default_context(cafile=ca))

    def claims(self, authorization):
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(401, "no bearer token")
        try:
            if jwt.get_unverified_header(token).get("typ") != "at+jwt":
                raise Refused(401, "not an access token")
            key = self.keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(token, key, algorithms=["ES256"], audience=self.audience, issuer=self.issuer)
        except jwt.PyJWTError as error:
            raise Refused(401, type(error).__name__) from error
        if "telemetry.write" not in claims["scope"].split():
            raise Refused(403, "scope telemetry.write is missing")
        return claims


def is_program(resource):
    return any(it.key == "service.name" and it.value.string_value == SERVICE for it in resource.attributes)


def number_of(attributes):
    return next(it.value.int_value for it in attributes if it.key == "number")


def log_numbers(request):
    return [
        number_of(record.attributes)
        for resource in request.resource_logs
        if is_program(resource.resource)
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def span_numbers(request):
    return [
        number_of(span.attributes)
        for resource in request.resource_spans
        if is_program(resource.resource)
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def metric_numbers(request):
    return [
        point.as_int
        for resource in request.resource_metrics
        if is_program(resource.resource)
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.gauge.data_points
    ]


SIGNALS = {
    "/v1/logs": ("logs", ExportLogsServiceRequest, ExportLogsServiceResponse, log_numbers),
    "/v1/traces": ("traces", ExportTraceServiceRequest, ExportTraceServiceResponse, span_numbers),
    "/v1/metrics": ("metrics", ExportMetricsServiceRequest, ExportMetricsServiceResponse, metric_numbers),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        # Read before anything is refused: on a kept connection the next request begins after the body.
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), BODY_AT_MOST))
        try:
            answer = self.take(body)
            self.answer(200, "application/x-protobuf", answer)
        except Refused as refused:
            self.server.journal({"refused": str(refused), "status": refused.status})
            self.answer(refused.status, "application/json", json.dumps({"message": str(refused)}).encode())

    def take(self, body):
        if self.path not in SIGNALS:
            raise Refused(404, f"no such path: {self.path}")
        signal, request_type, response_type, numbers_of = SIGNALS[self.path]
        if self.server.unauthorized.exists():
            raise Refused(401, "told to")
        claims = self.server.tokens.claims(self.headers.get("Authorization"))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = request_type()
        request.ParseFromString(body)
        self.server.journal(
            {
                "signal": signal,
                "numbers": numbers_of(request),
                "subject": claims["sub"],
                "token": claims["jti"],
                "key": self.headers.get("Idempotency-Key"),
            }
        )
        return response_type().SerializeToString()

    def answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Backend(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, options):
        super().__init__(("127.0.0.1", options.port), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.cert, options.key)
        # The handshake belongs to the connection's own thread: a client that sends nothing must not hold the others.
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.tokens = Tokens(options.issuer, options.audience, options.ca)
        self.unauthorized = pathlib.Path(f"{options.journal}.unauthorized")
        self.journal_file = open(options.journal, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        """A connection that breaks off is the client's to report."""

    def journal(self, entry):
        with self.lock:
            self.journal_file.write(json.dumps(entry) + "\n")
            self.journal_file.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    for name in ("cert", "key", "issuer", "audience", "ca", "journal"):
        parser.add_argument(f"--{name}", required=True)
    backend = Backend(parser.parse_args())
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    print(json.dumps({"event": "ready", "endpoint": f"https://127.0.0.1:{backend.server_port}"}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
