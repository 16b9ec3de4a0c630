// A program on the device with OpenTelemetry for JavaScript: sends COUNT numbered logs, spans and data points.
//
//     node sender.mjs ENDPOINT NAME COUNT proto|json gzip|none
//
// Ends with 0 when every export was acknowledged.

import { SpanStatusCode } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import * as jsonLogs from '@opentelemetry/exporter-logs-otlp-http';
import * as protoLogs from '@opentelemetry/exporter-logs-otlp-proto';
import * as jsonMetrics from '@opentelemetry/exporter-metrics-otlp-http';
import * as protoMetrics from '@opentelemetry/exporter-metrics-otlp-proto';
import * as jsonTrace from '@opentelemetry/exporter-trace-otlp-http';
import * as protoTrace from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { AggregationType, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';

const [endpoint, name, count, form, compression] = process.argv.slice(2);
const numbers = Array.from({ length: Number(count) }, (_, index) => index + 1);
const [logs, metrics, trace] =
  form === 'json' ? [jsonLogs, jsonMetrics, jsonTrace] : [protoLogs, protoMetrics, protoTrace];
const resource = resourceFromAttributes({ 'service.name': name });

// What an exporter is told; providers swallow it.
let failed = 0;
const watched = (exporter) => {
  const offer = exporter.export.bind(exporter);
  exporter.export = (batch, done) =>
    offer(batch, (result) => {
      if (result.code !== 0) {
        failed += 1;
        console.error(result.error);
      }
      done(result);
    });
  return exporter;
};
const to = (signal) => ({ url: `${endpoint}/v1/${signal}`, compression });

const loggerProvider = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: watched(new logs.OTLPLogExporter(to('logs'))) })],
});
const logger = loggerProvider.getLogger('sender', '1.0');
for (const number of numbers) {
  logger.emit({
    severityNumber: SeverityNumber.INFO,
    severityText: 'INFO',
    body: { text: `reading ${number}`, nested: [number, 0.5, true, null] },
    attributes: { number, half: number / 2, bytes: new Uint8Array([1, 2, 255]), list: ['ü', '"'] },
  });
}

const tracerProvider = new BasicTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(watched(new trace.OTLPTraceExporter(to('traces'))))],
});
const tracer = tracerProvider.getTracer('sender');
for (const number of numbers) {
  const span = tracer.startSpan('reading', { attributes: { number } });
  span.addEvent('read', { number });
  span.setStatus({ code: number % 2 ? SpanStatusCode.OK : SpanStatusCode.ERROR, message: 'as it was' });
  span.end();
}

const reader = new PeriodicExportingMetricReader({
  exporter: watched(new metrics.OTLPMetricExporter(to('metrics'))),
  exportIntervalMillis: 3_600_000,
});
const meterProvider = new MeterProvider({
  resource,
  readers: [reader],
  views: [{ instrumentName: 'spread', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
});
const meter = meterProvider.getMeter('sender');
const counter = meter.createCounter('number');
const gauge = meter.createGauge('level', { unit: 'Cel' });
const histogram = meter.createHistogram('latency', { unit: 'ms' });
const spread = meter.createHistogram('spread');
for (const number of numbers) {
  counter.add(number, { number });
  histogram.record(number);
  spread.record(number / 3);
}
gauge.record(21.5);

// Its end is also the one export of all metrics.
await Promise.all([loggerProvider.shutdown(), tracerProvider.shutdown(), meterProvider.shutdown()]);
process.exitCode = failed === 0 ? 0 : 1;
