"""A second reference: everything in the request, no queue. Run by gunicorn's threads: `gunicorn -k gthread …`."""

import os
from datetime import UTC, datetime

from flask import Flask, Response, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, func, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from twilio.request_validator import RequestValidator
from twilio.rest import Client


class Base(DeclarativeBase):
    """The models' base."""


db = SQLAlchemy(model_class=Base)


class MessageLog(db.Model):  # type: ignore[name-defined,misc]  # Flask-SQLAlchemy makes it at run time
    """One message sent."""

    __tablename__ = "message_logs"

    id: Mapped[int] = mapped_column(primary_key=True)
    message_sid: Mapped[str] = mapped_column(String(34), unique=True)
    to_number: Mapped[str] = mapped_column(String(20))
    from_number: Mapped[str] = mapped_column(String(20))
    body: Mapped[str]
    status: Mapped[str] = mapped_column(String(20))
    error_code: Mapped[str | None] = mapped_column(String(10))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


def create_app() -> Flask:
    """Return the application, set by the environment."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": 10, "max_overflow": 10}
    db.init_app(app)
    base_url, sender = os.environ["APP_BASE_URL"], os.environ["TWILIO_PHONE_NUMBER"]
    client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
    client.api.base_url = os.environ["TWILIO_API_BASE_URL"]
    messages = client.messages
    validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])

    @app.post("/sms/send")
    def send() -> tuple[Response, int]:
        data = request.get_json()
        sent = messages.create(
            to=data["to"], from_=sender, body=data["body"], status_callback=f"{base_url}/twilio/status"
        )
        log = MessageLog(
            message_sid=sent.sid,
            to_number=data["to"],
            from_number=sender,
            body=data["body"],
            status=sent.status,
        )
        db.session.add(log)
        db.session.commit()
        return jsonify(sid=sent.sid), 202

    @app.post("/twilio/status")
    def status() -> tuple[str, int]:
        signature = request.headers.get("X-Twilio-Signature", "")
        if not validator.validate(base_url + request.path, request.form, signature):
            return "invalid signature", 403
        db.session.execute(
            update(MessageLog)
            .where(MessageLog.message_sid == request.form["MessageSid"])
            .values(
                status=request.form["MessageStatus"],
                error_code=request.form.get("ErrorCode"),
                updated_at=datetime.now(UTC),
            )
        )
        db.session.commit()
        return "", 204

    @app.cli.command("init-db")
    def init_db() -> None:
        db.create_all()

    return app
