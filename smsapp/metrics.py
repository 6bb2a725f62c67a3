"""Prometheus metrics of the web processes by name. Gauges from the database are read when `/metrics` is scraped."""

from prometheus_client import Counter, Gauge, Histogram

CALLBACKS_RECEIVED = Counter(
    "smsapp_callbacks_received_total", "Callbacks answered, by kind and result.", ["kind", "result"]
)
OPEN_WAITS = Gauge(
    "smsapp_open_waits", "Requests of this process that wait, by what they wait for.", ["kind"]
)
REQUESTS = Histogram(
    "smsapp_request_seconds",
    "Time to answer an API request.",
    ["endpoint", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30),
)
