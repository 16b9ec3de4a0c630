#!/bin/sh
# A shell script on the device: sends 18 numbered events with curl, in every form that /v1/events takes.
#
#     sender.sh ENDPOINT SOCKET
#
# SOCKET is the telemetry socket. Ends with 0 when all were acknowledged.
set -eu
endpoint=$1
socket=$2

post() { curl --silent --show-error --fail --max-time 30 --output /dev/null "$@"; }

# Objects, as curl sends them by itself.
for number in 1 2 3; do
  post --data "{\"message\": \"door open\", \"level\": \"warn\", \"number\": $number}" "$endpoint/v1/events?service=shell"
done
# One after the other, by a pipe.
for number in 4 5 6 7; do printf '{"ts": %s, "event": "reading", "number": %s}\n' "$(date +%s)" "$number"; done |
  post --header 'Content-Type: application/x-ndjson' --data-binary @- "$endpoint/v1/events?service=shell"
# A list, compressed, by the socket.
printf '[{"number": 8}, {"number": 9}, {"number": 10}]' | gzip |
  post --unix-socket "$socket" --header 'Content-Type: application/json' --header 'Content-Encoding: gzip' \
    --data-binary @- 'http://localhost/v1/events?service=shell'
# Lines of text: the number is all there is.
printf '11\n12\n13\n' |
  post --header 'Content-Type: text/plain' --data-binary @- "$endpoint/v1/events?service=shell"
# The same without saying what it is.
printf '14\n15\n' | post --data-binary @- "$endpoint/v1/events?service=shell"
# OTLP in JSON, written by hand.
post --header 'Content-Type: application/json' --data '{"resourceLogs": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shell"}}]},
    "scopeLogs": [{"logRecords": [
      {"severityNumber": "INFO", "attributes": [{"key": "number", "value": {"intValue": 16}}]},
      {"body": {"stringValue": "17"}}]}]}]}' "$endpoint/v1/logs"
# Without waiting for flash.
post --header 'Prefer: respond-async' --data '{"number": 18}' "$endpoint/v1/events?service=shell"
