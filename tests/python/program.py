"""A program on the device: sends numbered logs, spans and metrics through the OpenTelemetry SDK.

    python program.py --endpoint http://127.0.0.1:4318 [--per-second 20]

It runs until its standard input ends, then flushes and says what was accepted. Every line it prints is one JSON
object: {"event": "accepted", "signal", "last"} as it goes, {"event": "done", "logs", "traces", "metrics"} at the end,
each the count of numbers 1..n that were acknowledged. A batch that is refused is offered again until it is taken,
so that a number is missing at the backend only if it was acknowledged and then lost.
"""

import argparse
import json
import logging
import sys
import threading
import time

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

FLUSH_MILLISECONDS = 60_000
# Longer than any restart of the agent in a test, shorter than the test's own limit.
OFFER_SECONDS = 45


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Tally:
    """The last number of each signal that was acknowledged."""

    def __init__(self):
        self.last = {"logs": 0, "traces": 0, "metrics": 0}

    def accepted(self, signal, numbers):
        assert numbers == list(range(self.last[signal] + 1, numbers[-1] + 1)), f"{signal} out of order: {numbers}"
        self.last[signal] = numbers[-1]
        tell("accepted", signal=signal, last=numbers[-1])


def insisting(exporter, signal, success, numbers_of, tally):
    """Makes an exporter offer a batch again until it is taken, and count it then."""
    offer = exporter.export

    def export(batch, *args, **kwargs):
        give_up = time.monotonic() + OFFER_SECONDS
        while (result := offer(batch, *args, **kwargs)) is not success:
            if time.monotonic() > give_up:
                tell("given_up", signal=signal)
                return result
            time.sleep(0.2)
        if numbers := numbers_of(batch):
            tally.accepted(signal, numbers)
        return result

    exporter.export = export
    return exporter


def metric_numbers(data):
    return [
        point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--per-second", type=float, default=20)
    options = parser.parse_args()
    # The SDK reports every refused try; the tally says what counts.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    tally = Tally()
    resource = Resource.create({"service.name": "greenhouse"})

    log_exporter = insisting(
        OTLPLogExporter(endpoint=f"{options.endpoint}/v1/logs"),
        "logs",
        LogRecordExportResult.SUCCESS,
        lambda batch: [it.log_record.attributes["number"] for it in batch],
        tally,
    )
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(log_exporter, schedule_delay_millis=500))
    logger = logs.get_logger("greenhouse")

    span_exporter = insisting(
        OTLPSpanExporter(endpoint=f"{options.endpoint}/v1/traces"),
        "traces",
        SpanExportResult.SUCCESS,
        lambda batch: [it.attributes["number"] for it in batch],
        tally,
    )
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(span_exporter, schedule_delay_millis=500))
    tracer = traces.get_tracer("greenhouse")

    collected = 0

    def observe(_):
        nonlocal collected
        collected += 1
        return [Observation(collected)]

    metric_exporter = insisting(
        OTLPMetricExporter(endpoint=f"{options.endpoint}/v1/metrics"),
        "metrics",
        MetricExportResult.SUCCESS,
        metric_numbers,
        tally,
    )
    reader = PeriodicExportingMetricReader(
        metric_exporter, export_interval_millis=1000, export_timeout_millis=FLUSH_MILLISECONDS
    )
    metrics = MeterProvider(resource=resource, metric_readers=[reader])
    metrics.get_meter("greenhouse").create_observable_gauge("number", callbacks=[observe])

    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    number = 0
    while not ended.wait(1 / options.per_second):
        number += 1
        logger.emit(
            severity_number=SeverityNumber.INFO,
            body=f"reading {number}",
            attributes={"number": number},
        )
        with tracer.start_as_current_span("reading", attributes={"number": number}):
            pass

    for provider in (logs, traces, metrics):
        provider.force_flush(FLUSH_MILLISECONDS)
        provider.shutdown()
    tell("done", **tally.last, emitted=number)


if __name__ == "__main__":
    main()
