"""`python -m smsapp jobs …`: many texts from one file, through the same HTTP API that programs use."""

import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from smsapp.cli.api import Api, api_key, api_url

_LOOK_EVERY_S = 0.5
_UPLOAD_TIMEOUT_S = 300.0
_GOING = frozenset({"ready", "running", "canceled"})


@click.group()
def jobs() -> None:
    """Send many texts from one file, and follow their progress."""


@jobs.command("send")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--template", help="A stored template's name.")
@click.option("--template-version", type=int, help="The template's version.  [default: the newest]")
@click.option("--body", help="The text itself, with placeholders such as {{name}}.")
@click.option("--name", help="A name for people to recognise the job by.")
@click.option("--from", "sender", help="A number, short code or alphanumeric ID of the account.")
@click.option("--charset", default="utf-8", show_default=True, help="The file's encoding.")
@click.option("--allow-duplicates", is_flag=True, help="Also send the same text to a number more than once.")
@click.option("--tag", "tags", multiple=True, help="A tag to find the messages by; can be repeated.")
@click.option("--sensitive", is_flag=True, help="Never show the texts, and remove them once sent.")
@click.option("--send-at", help="When to begin, such as 2026-12-01T09:00:00Z.")
@click.option("--deliver-by", help="When to stop trying, such as 2026-12-01T18:00:00Z.")
@click.option("--on-failure", help="What to do about a message that fails: a plan, as JSON.")
@click.option("--callback-url", help="POST the messages' events to this URL.")
@click.option("--yes", is_flag=True, help="Start without confirmation.")
@click.option("--watch/--no-watch", "follow", default=True, help="Follow the job's progress.")
@api_url
@api_key
def send(*, file: Path, url: str, key: str, charset: str, yes: bool, follow: bool, **options: Any) -> None:
    """Upload a CSV file, show what is in it, start the job and follow it.

    The first line names the columns, `to` among them. Exits 1 unless every row was delivered.
    """
    api = Api(url, key)
    options["from"] = options.pop("sender")
    tags = options.pop("tags")
    fields: list[tuple[str, Any]] = [
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in options.items()
        if value is not None
    ]
    fields += [("tags", tag) for tag in tags]
    fields += [("file", (file.name, file.read_bytes(), f"text/csv; charset={charset}"))]
    job = api.upload("/sms/jobs", fields, {"Idempotency-Key": str(uuid4())}, timeout_s=_UPLOAD_TIMEOUT_S)
    _describe(job)
    if not yes and not click.confirm(f"Send {job['counts']['waiting']} texts now?"):
        click.echo(f"Not started. `jobs start {job['id']}` does it later.")
        return
    api.call("POST", f"/sms/jobs/{job['id']}/start")
    if follow:
        _follow(api, job["id"])


@jobs.command("list")
@click.option("--state", help="Only those in this state.")
@click.option("--limit", default=20, show_default=True)
@api_url
@api_key
def list_jobs(state: str | None, limit: int, url: str, key: str) -> None:
    """List jobs, newest first."""
    query = f"limit={limit}" + (f"&state={state}" if state else "")
    found = Api(url, key).call("GET", f"/sms/jobs?{query}")["data"]
    for job in found:
        handed = job["counts"]["stored"]
        click.echo(
            f"{job['id']}  {job['state']:9}  {handed}/{job['rows']} rows  {job['name'] or ''}".rstrip()
        )
    if not found:
        click.echo("There are none.")


@jobs.command("show")
@click.argument("job_id")
@click.option("--watch", "follow", is_flag=True, help="Follow the job to its end.")
@api_url
@api_key
def show(job_id: str, follow: bool, url: str, key: str) -> None:
    """Show a job."""
    api = Api(url, key)
    _describe(api.call("GET", f"/sms/jobs/{job_id}"))
    if follow:
        _follow(api, job_id)


@jobs.command("results")
@click.argument("job_id")
@click.option("--output", type=click.File("wb"), default="-", help="A file instead of standard output.")
@api_url
@api_key
def results(job_id: str, output: Any, url: str, key: str) -> None:
    """Write the result of each row as CSV."""
    for piece in Api(url, key).pieces(f"/sms/jobs/{job_id}/results.csv"):
        output.write(piece)


def _command(name: str, sentence: str) -> None:
    @jobs.command(name, help=sentence)
    @click.argument("job_id")
    @api_url
    @api_key
    def run(job_id: str, url: str, key: str) -> None:
        job = Api(url, key).call("POST", f"/sms/jobs/{job_id}/{name}")
        click.echo(f"{job['id']} is {job['state']}.")


_command("start", "Start sending a job.")
_command("pause", "Pause a job: turn no more of its rows into messages.")
_command("resume", "Resume a paused job.")
_command("cancel", "Cancel a job's unsent rows for good.")


def _describe(job: dict[str, Any]) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in job["counts"].items() if count)
    click.echo(f"{job['id']}  {job['state']}  {job['rows']} rows: {counts}")
    cost = job["cost_estimate"]
    price = f", about {cost['amount']} {cost['currency']}" if cost else ""
    click.echo(f"{job['segments']} segments{price}")
    for fault in job["faults"]:
        column = f" ({fault['column']})" if fault["column"] else ""
        click.echo(f"  line {fault['line']}{column}: {fault['detail']}", err=True)
    if job["ignored_columns"]:
        click.echo(f"  not used: {', '.join(job['ignored_columns'])}", err=True)


def _follow(api: Api, job_id: str) -> None:
    """Show a progress bar until every message has an outcome, then the outcomes."""
    job = api.call("GET", f"/sms/jobs/{job_id}")
    with click.progressbar(length=job["rows"], label=job_id, file=sys.stderr) as bar:
        while True:
            bar.update(_settled(job) - bar.pos)
            if job["finished_at"] or job["state"] not in _GOING:
                break
            time.sleep(_LOOK_EVERY_S)
            job = api.call("GET", f"/sms/jobs/{job_id}")
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(job["outcomes"].items()))
    click.echo(f"{job['state']}: {outcomes or 'nothing sent'}")
    if job["outcomes"].get("delivered", 0) < job["rows"]:
        sys.exit(1)


def _settled(job: dict[str, Any]) -> int:
    unsettled: int = job["counts"]["waiting"] + job["in_flight"]
    return int(job["rows"]) - unsettled
