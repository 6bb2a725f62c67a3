"""A SID adopted by guess goes back to whom Twilio's own callback names."""

from datetime import timedelta

from smsapp.ids import new_id, public_id
from smsapp.lifecycle.record_reports import TargetedReport, record_reports
from smsapp.messages import reads
from smsapp.messages.fold import Report, Source
from smsapp.reconciliation.check_ledger import check_histories
from smsapp.reconciliation.reconcile import reconcile
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.messages import Accept


def test_a_callback_takes_a_sid_from_the_twin_that_guessed_it(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    guesser, owner = accept(body="same"), accept(body="same")
    lost = {guesser: twilio.lose, owner: twilio.accept_silently}
    twilio.behaviours = [lambda message: lost[message.id](message)] * 2
    send_messages(rt)
    clock.advance(timedelta(minutes=2))
    reconcile(rt)
    sid = next(iter(twilio.records))
    with rt.sessions() as session:
        adopted = {m.id: m.twilio_sid for m in reads.find(session, limit=2)}

    with rt.transaction() as tx:
        report = Report(Source.CALLBACK, "delivered", clock(), new_id(), attempt=1, twilio_sid=sid)
        record_reports(rt, tx, [TargetedReport(owner, report)])

    with rt.sessions() as session:
        found = {m.id: (m.status, m.twilio_sid) for m in reads.find(session, limit=2)}
    assert adopted == {guesser: sid, owner: None}, "the listing alone cannot tell the twins apart"
    assert found == {guesser: ("unconfirmed", None), owner: ("delivered", sid)}, public_id(owner)
    assert check_histories(rt) == (2, [])
