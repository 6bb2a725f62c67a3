"""`python -m smsapp doctor`: check everything that the service needs, and say how to fix what is missing."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import click
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from smsapp.breakers import queries as breakers
from smsapp.callbacks import dead_letters
from smsapp.cli.database import alembic_config
from smsapp.cli.runtime import command_runtime
from smsapp.db.sessions import reading
from smsapp.health.checks import OK, check_database, check_redis
from smsapp.health.public_address import check_callbacks
from smsapp.queue.eviction import KEEPS_ALL, REMEDY, eviction_policy
from smsapp.queue.tasks import make_publisher
from smsapp.refusals import queries as refusals
from smsapp.refusals.rules import advice
from smsapp.runtime import Runtime
from smsapp.times import rfc3339

_RECENT = timedelta(hours=1)
_PING_S = 2.0
_REFUSED_BY_REDIS: Mapping[str, str] = {
    "read_only": "REDIS_URL leads to a replica: name the primary, or promote it (`REPLICAOF NO ONE`).",
    "out_of_memory": "Raise `maxmemory`, and keep `maxmemory-policy noeviction`.",
    "cannot_save": "Redis cannot write its snapshot: has its disk space? Its log says more.",
    "no_replicas": "Fewer replicas are there than `min-replicas-to-write` asks for.",
    "no_primary": "REDIS_URL leads to a replica or cluster that has lost its primary.",
    "is_a_cluster": "smsapp needs one Redis, not a cluster.",
    "loading": "Redis reads its file after a start; wait.",
    "not_permitted": "Give the user of REDIS_URL all commands on all keys (`ACL SETUSER`).",
    "wrong_password": "Check user and password in REDIS_URL.",
}
_REFUSED_BY_DATABASE: Mapping[str, str] = {
    "read_only": "DATABASE_URL leads to a standby, or `default_transaction_read_only` is on: name the primary.",
    "disk_full": "Give the database's disk space.",
    "storage_refuses": "Look at the server's log: a quota is used up, or its disk is read-only or broken.",
    "not_permitted": "Give the user of DATABASE_URL all rights on the tables.",
    "too_many_connections": "Raise `max_connections`; docs/operations.md says how many each process needs.",
}
_LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104 - names to recognise, nothing is bound


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: `fault` is None if it passed, else what is wrong, and `remedy` how to fix it."""

    name: str
    fault: str | None = None
    remedy: str = ""


@click.command()
def doctor() -> None:
    """Check configuration, database, Redis, Twilio and the public address; exits 1 when a check fails."""
    rt = command_runtime()
    click.echo("ok    configuration")
    findings = [check(rt) for check in CHECKS]
    for finding in findings:
        if finding.fault is None:
            click.echo(f"ok    {finding.name}")
        else:
            click.echo(f"FAIL  {finding.name}: {finding.fault}\n      {finding.remedy}")
    if any(finding.fault for finding in findings):
        sys.exit(1)


def _database(rt: Runtime) -> Finding:
    head = ScriptDirectory.from_config(alembic_config(rt.settings)).get_current_head()
    try:
        with reading(rt.sessions) as session:
            current = MigrationContext.configure(session.connection()).get_current_revision()
    except SQLAlchemyError as error:
        return Finding(
            "database", f"it does not answer ({type(error).__name__})", "Check DATABASE_URL and the server."
        )
    if current != head:
        return Finding("database", "its tables are not up to date", "Run `python -m smsapp db upgrade`.")
    if (state := check_database(rt)) != OK:
        remedy = _REFUSED_BY_DATABASE.get(state, "Is DATABASE_URL the primary, and has it space?")
        return Finding("database", f"it takes no writes ({state})", remedy)
    return Finding("database")


def _redis(rt: Runtime) -> Finding:
    state = check_redis(rt)
    if state == OK:
        policy = eviction_policy(rt.settings)
        if policy not in {None, KEEPS_ALL}:
            return Finding("redis", f"it evicts what it holds (maxmemory-policy {policy})", REMEDY)
        return Finding("redis")
    if state == "certificate_refused":
        remedy = (
            "Name its authority: REDIS_URL=rediss://…?ssl_ca_certs=FILE, and the host as in the certificate."
        )
        return Finding("redis", "its certificate is not one to trust, or for another host", remedy)
    if state in _REFUSED_BY_REDIS:
        return Finding("redis", f"it takes no writes ({state})", _REFUSED_BY_REDIS[state])
    return Finding("redis", f"it does not answer ({state})", "Check REDIS_URL and the server.")


def _twilio(rt: Runtime) -> Finding:
    answer = rt.gateway.probe()
    if answer.judgement:
        return Finding("twilio", answer.judgement.failure.sentence, answer.judgement.failure.advice)
    if answer.cause:
        return Finding("twilio", answer.cause, "Look at the account in Twilio's console.")
    return Finding("twilio")


def _public_address(rt: Runtime) -> Finding:
    url = rt.settings.app_base_url
    at_twilio = rt.settings.twilio_api_base_url == "https://api.twilio.com"
    if at_twilio and urlsplit(url).hostname in _LOCAL:
        return Finding(
            "public address", f"Twilio cannot reach {url}", "Set APP_BASE_URL to an address on the internet."
        )
    fault = check_callbacks(rt)
    return Finding("public address", *fault) if fault else Finding("public address")


def _refused(rt: Runtime) -> Finding:
    """Look at callbacks that Twilio signed and we refused: others are anybody's, and no fault of ours."""
    try:
        with reading(rt.sessions) as session:
            recent = refusals.since(session, rt.clock() - _RECENT)
    except SQLAlchemyError:
        return Finding("refused callbacks")  # the check of the database reports the fault
    for each in recent:
        if each.signed_url or each.reason == "account_unknown":
            told = f"{each.count} signed by Twilio were refused ({each.reason}), the last {rfc3339(each.last_at)}"
            remedy = advice(each.reason, each.account, each.signed_url, each.differs or ())
            return Finding("refused callbacks", told, remedy)
    return Finding("refused callbacks")


def _workers(rt: Runtime) -> Finding:
    remedy = "Start one: `python -m celery -A worker.app worker`."
    try:
        alive = make_publisher(rt.settings.redis).control.ping(timeout=_PING_S)
    except (RedisError, OperationalError, OSError):
        return Finding("workers")  # the check of Redis reports the fault
    return Finding("workers") if alive else Finding("workers", "none answers", remedy)


def _sending(rt: Runtime) -> Finding:
    try:
        with reading(rt.sessions) as session:
            closed = [breaker.scope for breaker in breakers.all_of(session) if breaker.parked]
            dead = dead_letters.count(session)
    except SQLAlchemyError:
        return Finding("sending")  # the check of the database reports the fault
    if closed:
        return Finding("sending", f"parked for {', '.join(closed)}", "See `python -m smsapp breaker list`.")
    if dead:
        return Finding("sending", f"{dead} dead letters wait", "See `python -m smsapp dead list`.")
    return Finding("sending")


CHECKS: tuple[Callable[[Runtime], Finding], ...] = (
    _database,
    _redis,
    _workers,
    _twilio,
    _public_address,
    _refused,
    _sending,
)
