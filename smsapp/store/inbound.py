"""Texts that people sent to us."""

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.domain.callbacks import Inbound
from smsapp.domain.outgoing import EventType, Outgoing
from smsapp.store import outbox
from smsapp.store.tables import InboundMessage
from smsapp.stream import Callback


def add(session: Session, message: Inbound, *, receipt: Callback) -> bool:
    """Store an inbound text; return False for one that is there: Twilio may deliver it twice, its SID tells."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    stored = session.execute(
        dialect.insert(InboundMessage)
        .values(
            id=receipt.receipt_id,
            twilio_sid=message.twilio_sid,
            sender=message.sender,
            to=message.to,
            messaging_service_sid=message.messaging_service_sid,
            body=message.body,
            opt_out_type=message.opt_out_type,
            payload=message.payload,
            received_at=receipt.received_at,
        )
        .on_conflict_do_nothing(index_elements=[InboundMessage.twilio_sid])
        .returning(InboundMessage.id)
    ).first()
    if stored:
        heard = Outgoing(
            EventType.MESSAGE_RECEIVED, receipt.receipt_id, receipt.received_at, message_id=receipt.receipt_id
        )
        outbox.add(session, heard)
    return stored is not None
