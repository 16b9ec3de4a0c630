"""A program on the device with OpenTelemetry for Python: sends COUNT numbered logs, spans and data points.

    python sender.py ENDPOINT NAME COUNT proto|json gzip|none

Ends with 0 when every export was acknowledged.
"""

import importlib
import os
import sys

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Status, StatusCode

ENDPOINT, NAME, COUNT, FORM, COMPRESSION = sys.argv[1:]
PACKAGE = f"opentelemetry.exporter.otlp.{FORM}.http"

failed = 0


def exporter(module, kind, success):
    """One that counts what was refused; providers swallow it."""
    made = getattr(importlib.import_module(f"{PACKAGE}.{module}"), kind)()
    offer = made.export

    def export(*args, **kwargs):
        global failed
        result = offer(*args, **kwargs)
        failed += result is not success
        return result

    made.export = export
    return made


def main():
    # As a program is told from outside.
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = ENDPOINT
    os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = COMPRESSION
    numbers = range(1, int(COUNT) + 1)
    resource = Resource({"service.name": NAME})

    logs = LoggerProvider(resource=resource)
    log_exporter = exporter("_log_exporter", "OTLPLogExporter", LogRecordExportResult.SUCCESS)
    logs.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    logger = logs.get_logger("sender", "1.0")
    for number in numbers:
        logger.emit(
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            body={"text": f"reading {number}", "nested": [number, 0.5, True]},
            attributes={"number": number, "half": number / 2, "bytes": b"\x01\x02\xff", "list": ["ü", '"']},
        )

    traces = TracerProvider(resource=resource)
    span_exporter = exporter("trace_exporter", "OTLPSpanExporter", SpanExportResult.SUCCESS)
    traces.add_span_processor(BatchSpanProcessor(span_exporter))
    tracer = traces.get_tracer("sender")
    for number in numbers:
        with tracer.start_as_current_span("reading", attributes={"number": number}) as span:
            span.add_event("read", {"number": number})
            span.set_status(Status(StatusCode.ERROR, "as it was") if number % 2 == 0 else Status(StatusCode.OK))

    metric_exporter = exporter("metric_exporter", "OTLPMetricExporter", MetricExportResult.SUCCESS)
    reader = PeriodicExportingMetricReader(metric_exporter, export_interval_millis=3_600_000)
    spread_view = View(instrument_name="spread", aggregation=ExponentialBucketHistogramAggregation())
    metrics = MeterProvider(resource=resource, metric_readers=[reader], views=[spread_view])
    meter = metrics.get_meter("sender")
    counter = meter.create_counter("number")
    histogram = meter.create_histogram("latency", unit="ms")
    spread = meter.create_histogram("spread")
    for number in numbers:
        counter.add(number, {"number": number})
        histogram.record(number)
        spread.record(number / 3)
    meter.create_gauge("level", unit="Cel").set(21.5)

    # Its end is also the one export of all metrics.
    for provider in (logs, traces, metrics):
        provider.shutdown()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
