"""The Celery tasks, two lines each: the service decides."""

from smsapp.bulk.feed import feed_jobs as feed
from smsapp.callbacks.track import track_callbacks as track
from smsapp.maintenance import forget as forget_old
from smsapp.maintenance import sweep as sweep_up
from smsapp.queue.lanes import Lane
from smsapp.queue.tasks import Task
from smsapp.reconciliation.check_ledger import check_ledger as check
from smsapp.reconciliation.reconcile import reconcile as ask_twilio
from smsapp.submission.guard import check_delivery as judge_delivery
from smsapp.submission.send import send_messages as send
from smsapp.webhooks.push import push_events as push
from worker.app import app, runtime


@app.task(name=str(Task.SEND_OTP))
def send_otp(slot: int = 0) -> None:
    """Submit due codes to Twilio."""
    send(runtime(), slot, Lane.OTP)


@app.task(name=str(Task.SEND_MESSAGES))
def send_messages(slot: int = 0) -> None:
    """Submit due messages to Twilio."""
    send(runtime(), slot)


@app.task(name=str(Task.SEND_BULK))
def send_bulk(slot: int = 0) -> None:
    """Submit due campaign messages to Twilio."""
    send(runtime(), slot, Lane.BULK)


@app.task(name=str(Task.TRACK_CALLBACKS))
def track_callbacks(slot: int = 0) -> None:
    """Persist waiting callbacks."""
    track(runtime(), slot)


@app.task(name=str(Task.FEED_JOBS))
def feed_jobs(slot: int = 0) -> None:
    """Create messages from the next rows of bulk jobs."""
    feed(runtime(), slot)


@app.task(name=str(Task.PUSH_EVENTS))
def push_events(slot: int = 0) -> None:
    """Push pending events to consumers."""
    push(runtime(), slot)


@app.task(name=str(Task.SWEEP))
def sweep() -> None:
    """Find work whose wake-up was lost."""
    sweep_up(runtime())


@app.task(name=str(Task.FORGET))
def forget() -> None:
    """Remove what has been kept for its time."""
    forget_old(runtime())


@app.task(name=str(Task.RECONCILE))
def reconcile() -> None:
    """Poll Twilio for statuses that no callback has reported."""
    ask_twilio(runtime())


@app.task(name=str(Task.CHECK_LEDGER))
def check_ledger() -> None:
    """Check that every accepted message is accounted for."""
    check(runtime())


@app.task(name=str(Task.CHECK_DELIVERY))
def check_delivery() -> None:
    """Park countries where hardly any messages are delivered."""
    judge_delivery(runtime())
