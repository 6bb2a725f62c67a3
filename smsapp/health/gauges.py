"""Metrics read from the database and Redis, in Prometheus' text format."""

from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from smsapp.breakers import queries as breakers
from smsapp.callbacks import dead_letters, spool
from smsapp.db import counters
from smsapp.db.sessions import reading
from smsapp.pacing import due as pacing_due
from smsapp.runtime import Runtime


class _Collector:
    def __init__(self, rt: Runtime) -> None:
        self._rt = rt

    def collect(self) -> Iterator[Metric]:
        with suppress(SQLAlchemyError):
            yield from self._database()
        with suppress(RedisError, OSError):
            yield GaugeMetricFamily(
                "smsapp_stream_length", "Callbacks that wait to be persisted.", value=self._rt.stream.length()
            )

    def _database(self) -> list[Metric]:
        now = self._rt.clock()
        with reading(self._rt.sessions) as session:
            due = pacing_due.count_due(session, now=now)
            oldest = pacing_due.oldest_due(session, now=now)
            waiting = spool.count(session)
            dead = dead_letters.count(session)
            closed = session.scalars(breakers.closed_scopes(now=now)).all()
            counted = counters.read(session)
            by_outcome = counters.read_ledger(session)
        age = GaugeMetricFamily(
            "smsapp_due_oldest_seconds",
            "For how long the oldest due message has waited.",
            value=(now - oldest).total_seconds() if oldest else 0,
        )
        kept = GaugeMetricFamily(
            "smsapp_inbox", "Callbacks that wait in the database, by reason.", labels=["reason"]
        )
        for reason, count in waiting.items():
            kept.add_metric([reason], count)
        totals = CounterMetricFamily("smsapp_counted", "Counted for all processes, by name.", labels=["name"])
        for name, count in counted.items():
            totals.add_metric([name], count)
        ledger = GaugeMetricFamily(
            "smsapp_ledger_messages",
            "Accepted messages by outcome when the ledger was last checked; stuck ones are accounted for by nobody.",
            labels=["outcome"],
        )
        for outcome, count in by_outcome.items():
            ledger.add_metric([outcome], count)
        return [
            ledger,
            GaugeMetricFamily("smsapp_due_messages", "Messages due for an attempt.", value=due),
            age,
            kept,
            totals,
            GaugeMetricFamily(
                "smsapp_dead_letters", "What could not be processed and waits for somebody.", value=dead
            ),
            GaugeMetricFamily(
                "smsapp_closed_scopes", "Account, senders or polling closed at present.", value=len(closed)
            ),
        ]


def read_gauges(rt: Runtime) -> bytes:
    """Return the current gauges of the database and Redis; one that does not answer is left out."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(rt))
    text: bytes = generate_latest(registry)
    return text
