"""What each Twilio error code means, who must act, and whether the same message may go out again.

One table answers the support person, the API's consumer and the worker alike. Twilio changes and splits codes
without notice and asks programs not to hang on them (changelog "Updates to the error code dictionary", July
2024), so every unknown code falls back to a cautious default by HTTP status or message status.

Sources: https://www.twilio.com/docs/api/errors and the page of each code below it (`Failure.doc_url`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntEnum, StrEnum
from types import MappingProxyType

TWILIO_ERRORS = "https://www.twilio.com/docs/api/errors"


class FailureClass(StrEnum):
    """What kind of remedy a failure has."""

    RETRY_LATER = "retry_later"
    RECIPIENT = "recipient"
    CONTENT = "content"
    SENDER = "sender"  # the sender or how it, or our request, is configured
    ACCOUNT = "account"
    OPT_OUT = "opt_out"
    AMBIGUOUS = "ambiguous"  # the message may have gone out, or nobody knows what happened


class Scope(StrEnum):
    """What the fault concerns, and so what else will fail until it is gone."""

    RECIPIENT = "recipient"
    CONTENT = "content"
    SENDER = "sender"
    ACCOUNT = "account"
    CARRIER = "carrier"
    SERVICE = "service"  # Twilio's platform, or the way this service calls it


class Actor(StrEnum):
    """Who must act before the next message fares better."""

    NOBODY = "nobody"  # time heals it
    CALLER = "caller"  # the author of the message, who chose its recipient
    OPERATOR = "operator"  # the operator of this service and its Twilio account
    RECIPIENT = "recipient"
    TWILIO = "twilio"


@dataclass(frozen=True, slots=True)
class Failure:
    """One way for a message to fail."""

    code: int  # Twilio's; 0 when it gave none
    failure_class: FailureClass
    retryable: bool  # the same message may be sent again by itself, without anyone changing anything
    scope: Scope
    actor: Actor
    sentence: str  # for a support person
    advice: str  # what to do next
    resend_after: timedelta | None = None  # past acceptance; None: never sent again by itself
    max_resends: int = 0  # each is a new Twilio message with a new SID

    @property
    def doc_url(self) -> str:
        """Twilio's page on the code; the list of all codes for what is not Twilio's."""
        return TWILIO_ERRORS if self.code < 1000 else f"{TWILIO_ERRORS}/{self.code}"

    def resend_delay(self, resends: int) -> timedelta | None:
        """Return the wait before the next re-send, doubling after each of `resends`; None: give up."""
        if self.resend_after is None or resends >= self.max_resends:
            return None
        return self.resend_after * (1 << resends)


# When a message that Twilio took and then lost may go out again by itself, and how often at most.
_RESENDS: Mapping[int, tuple[timedelta, int]] = {
    30001: (timedelta(minutes=10), 3),  # the queue drains at the sender's rate
    30003: (timedelta(minutes=30), 2),  # phones come back within the hour, or not soon
    30008: (timedelta(minutes=30), 1),
    30017: (timedelta(minutes=5), 3),
    30020: (timedelta(minutes=2), 1),
    30021: (timedelta(minutes=2), 1),
    30022: (timedelta(minutes=5), 3),
    30023: (timedelta(hours=8), 2),  # the cap resets at midnight US Pacific: 8 h and 16 h span a day
    30450: (timedelta(minutes=45), 2),  # the block lasts 15-30 minutes and may repeat
    30453: (timedelta(hours=4), 2),
    30500: (timedelta(minutes=2), 1),
    30610: (timedelta(hours=11), 1),  # refused from 9 pm to 8 am; 11 h later it is between 8 am and 7 pm
    63010: (timedelta(minutes=5), 2),
    63012: (timedelta(minutes=5), 2),
    63017: (timedelta(minutes=2), 3),
    63018: (timedelta(minutes=2), 3),
    63038: (timedelta(hours=12), 2),  # a daily limit: 12 h and 24 h reach the next day in every zone
}


def _group(
    failure_class: FailureClass, scope: Scope, actor: Actor, rows: Mapping[tuple[int, ...], tuple[str, str]]
) -> dict[int, Failure]:
    """Spell out rows of sentence and advice that share everything else."""
    group: dict[int, Failure] = {}
    for codes, (sentence, advice) in rows.items():
        for code in codes:
            resend_after, max_resends = _RESENDS.get(code, (None, 0))
            retryable = failure_class is FailureClass.RETRY_LATER or max_resends > 0
            group[code] = Failure(
                code, failure_class, retryable, scope, actor, sentence, advice, resend_after, max_resends
            )
    return group


_ACCOUNT = _group(
    FailureClass.ACCOUNT,
    Scope.ACCOUNT,
    Actor.OPERATOR,
    {
        (20003,): (
            "Twilio rejects the credentials, or the account is suspended or closed.",
            "Check the Account SID, the token or API key and its region, then the account's standing.",
        ),
        (20005,): ("The Twilio account is not active.", "Settle the account's standing with Twilio."),
        (20006, 20403): (
            "The credentials in use are not allowed to do this.",
            "Use an API key with the right to send messages.",
        ),
        (20008,): (
            "Test credentials are in use for something they do not support.",
            "Use live credentials; test ones know no Messaging Services and cannot look messages up.",
        ),
        (20010,): ("Twilio has disabled this action for the account.", "Ask Twilio's support to enable it."),
        (21219, 21608): (
            "A trial account only reaches numbers that are verified with Twilio.",
            "Verify the recipient's number with Twilio, or upgrade the account.",
        ),
        (21607,): (
            "A trial account cannot send from this number.",
            "Send from the account's trial number, or upgrade the account.",
        ),
        (21408,): (
            "The account does not permit messages to the recipient's country.",
            "If you mean to serve that country, enable it in Twilio's geographic permissions.",
        ),
        (30002,): (
            "The account is suspended, so Twilio drops what it had queued.",
            "Settle the suspension with Twilio, then send the message again.",
        ),
        (30025,): ("Half of T-Mobile's daily limit is used up.", "Spread the rest over the day."),
        (30026,): ("Seventy percent of T-Mobile's daily limit is used up.", "Spread the rest over the day."),
        (30027,): (
            "T-Mobile's daily limit is used up.",
            "Hold messages to T-Mobile until midnight US Pacific time.",
        ),
        (30033,): (
            "The US messaging campaign of this sender is suspended.",
            "Stop sending from it and settle the suspension with Twilio.",
        ),
        (30037,): ("Outbound messaging is disabled for this account.", "Ask Twilio's support to enable it."),
        (63038,): (
            "The account's daily message limit is used up.",
            "Wait for the next day, or ask Twilio for a higher limit.",
        ),
    },
)

_OPT_OUT = _group(
    FailureClass.OPT_OUT,
    Scope.RECIPIENT,
    Actor.RECIPIENT,
    {
        (21610,): (
            "The recipient has opted out of messages from this sender.",
            "Send nothing more until the recipient texts START.",
        ),
        (63014, 63033): (
            "The recipient blocks this sender on the channel.",
            "Send nothing more until the recipient writes first or opts in again.",
        ),
    },
)

_RECIPIENT = _group(
    FailureClass.RECIPIENT,
    Scope.RECIPIENT,
    Actor.CALLER,
    {
        (21211,): (
            "The recipient's number is not one that can be texted.",
            "Correct it: in full with plus and country code, no short code, not the sender itself.",
        ),
        (21214, 21217): (
            "The recipient's number does not exist or cannot be reached.",
            "Ask the recipient for a current mobile number.",
        ),
        (21268,): (
            "The recipient's number is a premium-rate or information line.",
            "Ask the recipient for an ordinary mobile number.",
        ),
        (21614,): (
            "The recipient's number is not a mobile number.",
            "Ask the recipient for a mobile number.",
        ),
        (21635,): (
            "The recipient's number is a landline.",
            "Ask the recipient for a mobile number, or call instead.",
        ),
        (30005,): (
            "The recipient's number is unknown to its carrier or no longer in use.",
            "Ask the recipient for a current number.",
        ),
        (30006,): (
            "The recipient's number is a landline, or its carrier is out of this sender's reach.",
            "Try another kind of sender once; then ask the recipient for a mobile number.",
        ),
        (63003, 63024): ("The recipient has no account on the channel.", "Send the message by SMS instead."),
    },
) | _group(
    FailureClass.RECIPIENT,
    Scope.RECIPIENT,
    Actor.RECIPIENT,
    {
        (30004,): (
            "The recipient's phone or carrier blocks messages from this sender.",
            "Send nothing more from this sender; only the recipient can lift the block.",
        )
    },
)

_CONTENT = _group(
    FailureClass.CONTENT,
    Scope.CONTENT,
    Actor.CALLER,
    {
        (21602,): ("The message has neither text nor media.", "Give it a text."),
        (21605,): (
            "The text is longer than 160 characters.",
            "Shorten it; this is a limit of an old endpoint.",
        ),
        (21617,): ("The text is longer than 1,600 characters.", "Shorten it, or send several messages."),
        (21618,): ("The text cannot be sent.", "Look for empty text or unusual characters."),
        (21620,): ("An address of the media is not valid.", "Correct it; Twilio must be able to fetch it."),
        (21623,): ("The message has more than ten media files.", "Send several messages."),
        (21654,): ("The message has template variables but no template.", "Name the template as well."),
        (21655,): ("The message names a template that does not exist.", "Correct the template's SID."),
        (21656,): ("The template variables are not valid JSON.", "Correct them."),
        (21658,): ("A field of the message is longer than Twilio takes.", "Shorten it."),
        (30007,): (
            "Twilio or the carrier filters the message out as unwanted.",
            "Do not send it again unchanged: review wording, links and consent; if it goes on, ask Twilio.",
        ),
        (30010,): ("The message costs more than the highest price set for it.", "Raise the price limit."),
        (30011,): (
            "The recipient's phone or region does not take picture messages.",
            "Send the content as text, with a link to the picture.",
        ),
        (30019,): ("The content is larger than the recipient's carrier takes.", "Send less content."),
        (63013,): ("The content breaks a policy of the channel.", "Change it to what the channel allows."),
        (63016,): (
            "The recipient has not written lately, so the channel takes no free text.",
            "Use an approved template.",
        ),
    },
)

_SENDER = _group(
    FailureClass.SENDER,
    Scope.SENDER,
    Actor.OPERATOR,
    {
        (21212,): ("The sender is not a valid number or sender ID.", "Correct the sender."),
        (21401, 21661): (
            "The sender cannot send text messages.",
            "Use a number of the account that is enabled for SMS.",
        ),
        (21601,): ("The sender is not an SMS number of this account.", "Use a number that the account owns."),
        (21606,): (
            "The sender cannot be used for this destination.",
            "Use a sender that serves the recipient's country.",
        ),
        (21612,): (
            "No route leads from this sender to the recipient.",
            "Try another sender once; if that fails too, the number cannot be reached.",
        ),
        (21616,): (
            "The sender matches several numbers of the account.",
            "Write the sender in full, with plus and country code.",
        ),
        (21621,): ("The sender cannot send media.", "Use a number that is enabled for MMS."),
        (21622,): ("The account cannot send media.", "Ask Twilio's support to enable MMS."),
        (21657,): (
            "The destination does not support this kind of sender ID.",
            "Use another kind of sender for the recipient's country.",
        ),
        (21659,): (
            "The sender is not a Twilio number, or is a short code of another country.",
            "Use a number of the account; a short code serves its own country only.",
        ),
        (21660,): (
            "The sender belongs to another Twilio account.",
            "Use the credentials of the account that owns it, or another sender.",
        ),
        (21701,): ("The Messaging Service does not exist.", "Correct its SID."),
        (21702,): (
            "The Messaging Service takes no new messages at the moment.",
            "Wait a little; if it goes on, check the service in Twilio's console.",
        ),
        (21703,): (
            "The Messaging Service has no sender that reaches the recipient.",
            "Add a sender for the recipient's country.",
        ),
        (21704,): ("The Messaging Service has no senders.", "Add a sender to it."),
        (21705,): ("The Messaging Service's SID is not valid.", "Correct it: MG and 32 hexadecimal digits."),
        (21709,): (
            "The Messaging Service does not allow this alphanumeric sender ID.",
            "Correct the ID, or have it approved for the account.",
        ),
        (30018,): (
            "The recipient's carrier demands that the sender ID is registered beforehand.",
            "Register the sender ID for that country with Twilio.",
        ),
        (30024,): (
            "The recipient's carrier does not know this numeric sender.",
            "Use another sender, and ask Twilio to provision this one.",
        ),
        (30032,): (
            "The toll-free sender is not verified.",
            "Verify it with Twilio; until then use another sender.",
        ),
        (30034,): (
            "The sender is not registered for messages to the United States.",
            "Register it for A2P 10DLC; until then use another sender for US numbers.",
        ),
        (30035,): (
            "The sender's registration is still in progress.",
            "Wait for it to finish; until then use another sender.",
        ),
        (30042,): (
            "The sender ID is blocked as too generic, or has characters that are not allowed.",
            "Choose a sender ID that names your brand.",
        ),
        (*range(30440, 30450),): (
            "The toll-free sender's verification is rejected.",
            "Read the reason in Twilio's console, correct the submission and send it again.",
        ),
        (*range(30880, 30899),): (
            "The US messaging campaign is rejected in vetting.",
            "Read the reason in Twilio's console, correct the campaign and submit it again.",
        ),
        (63007,): (
            "The channel does not know this sender.",
            "Correct the sender, or connect it to the channel.",
        ),
    },
)

_OUR_REQUEST = _group(
    FailureClass.SENDER,
    Scope.SERVICE,
    Actor.OPERATOR,
    {
        (20001, 20422, 20423): (
            "Twilio does not accept a parameter of our request.",
            "Report it as a fault of this service.",
        ),
        (20404,): (
            "Twilio does not know the account or resource that our request names.",
            "Check the Account SID and Twilio's address in the settings.",
        ),
        (20426,): (
            "Twilio demands an encrypted connection.",
            "Use https in Twilio's address in the settings.",
        ),
        (21266,): (
            "The sender and the recipient are the same number.",
            "Correct the recipient or the sender.",
        ),
        (21603,): ("The message has no sender.", "Set a sender or a Messaging Service."),
        (21604,): ("The message has no recipient.", "Report it as a fault of this service."),
        (21609,): (
            "Twilio does not accept the address for status callbacks.",
            "Set APP_BASE_URL to a public https address without underscores in the host name.",
        ),
        (21624, 30045, 90007): (
            "The validity period is not one that Twilio takes.",
            "Use 1 to 36,000 seconds.",
        ),
        (21627,): ("The highest price of the message is not a number.", "Leave it out; it has no effect."),
        (21652,): ("The subject is longer than 40 characters.", "Shorten it."),
        (30012,): ("The validity period is too short.", "Use at least some seconds."),
        (30013,): ("The validity period is too long.", "Use at most 36,000 seconds."),
        (30014,): ("The recipient's details are missing or too many.", "Send to one recipient at a time."),
        (30015,): ("The kind of channel is not supported.", "Use SMS, or a channel of the account."),
        (30016,): ("The sender and the recipient are on different channels.", "Use the same one for both."),
        (30028, 30029, 30030, 30031): (
            "Twilio does not accept an option of our request.",
            "Report it as a fault of this service.",
        ),
        (30400,): (
            "Twilio does not accept this change of the message.",
            "Report it as a fault of this service.",
        ),
        (30404,): ("Twilio does not know this message.", "It may have been deleted there."),
        (30409,): ("The message is no longer in a state to be canceled.", "Nothing; it goes its way."),
        (35111,): ("The time of sending is missing.", "Report it as a fault of this service."),
        (35114,): ("The time of sending is too near or too far.", "Use 15 minutes to 35 days ahead."),
        (35118,): ("Twilio only schedules through a Messaging Service.", "Set a Messaging Service."),
        (35125,): ("The account has as many scheduled messages as it may.", "Schedule fewer, or nearer."),
        (35126,): ("The channel does not support scheduling.", "Send the message without it."),
    },
)

_TWILIO_PASSING = _group(
    FailureClass.RETRY_LATER,
    Scope.SERVICE,
    Actor.NOBODY,
    {
        (20409,): ("Twilio is just changing the same resource.", "Nothing; it is tried again."),
        (30020,): ("Twilio fails to schedule the message.", "If it goes on, ask Twilio's support."),
        (30021, 30500, 63010): (
            "Twilio has an internal error and does not send the message.",
            "If it goes on, see Twilio's status page and ask its support.",
        ),
        (30036,): (
            "The message waits in Twilio's queue until it is no longer valid.",
            "Send it again if it is still useful; give it more time or the sender more throughput.",
        ),
        (30450,): (
            "Twilio suspects fraud in this traffic and blocks it for about half an hour.",
            "Wait; if it goes on, look for sign-ups by robots in the recipient's country.",
        ),
        (30453,): (
            "Twilio suspects fraud in this traffic and blocks it for some hours.",
            "Wait, and look for sign-ups by robots in the recipient's country.",
        ),
    },
)

_BUSY_SENDER = _group(
    FailureClass.RETRY_LATER,
    Scope.SENDER,
    Actor.NOBODY,
    {
        (21611,): (
            "The sender has as many messages queued as Twilio holds.",
            "Nothing; it is tried again. If it goes on, add senders or throughput.",
        ),
        (30001,): (
            "The sender's queue at Twilio is full.",
            "Send more slowly, or add senders or throughput.",
        ),
        (30022,): (
            "The sender is faster than its US registration allows.",
            "Send more slowly, and not many messages to one number.",
        ),
        (30023,): (
            "The sender's daily cap for US carriers is used up.",
            "Wait until midnight US Pacific time.",
        ),
        (63018,): ("The sender is faster than the channel allows.", "Send more slowly."),
    },
)

_BUSY_ACCOUNT = _group(
    FailureClass.RETRY_LATER,
    Scope.ACCOUNT,
    Actor.NOBODY,
    {
        (20429,): (
            "The account sends Twilio too many requests at once.",
            "Nothing; it is tried again. If it goes on, lower the number of concurrent sends.",
        ),
        (63017,): ("The account sends more messages a second than Twilio takes.", "Send more slowly."),
    },
)

_CARRIER_PASSING = _group(
    FailureClass.RETRY_LATER,
    Scope.CARRIER,
    Actor.NOBODY,
    {
        (30017,): ("The recipient's carrier is congested.", "Send again later."),
        (63012,): ("The channel's provider has an internal error.", "Send again later."),
    },
)

_RECIPIENT_PASSING = _group(
    FailureClass.RETRY_LATER,
    Scope.RECIPIENT,
    Actor.NOBODY,
    {
        (30003,): (
            "The phone is switched off or out of coverage.",
            "Send again later; if it happens every time, ask the recipient for another number.",
        ),
        (30610,): (
            "It is night at the recipient's, and promotions are not allowed then.",
            "Send between 8 am and 9 pm of the recipient's local time.",
        ),
    },
)

_AMBIGUOUS = (
    _group(
        FailureClass.AMBIGUOUS,
        Scope.SERVICE,
        Actor.NOBODY,
        {
            (20500, 20503): (
                "Twilio has an internal error and may or may not have taken the message.",
                "Do not send it again before Twilio's records show that it is not there.",
            ),
            (21619,): (
                "Twilio is unable to create the message.",
                "Do not send it again before Twilio's records show that it is not there.",
            ),
        },
    )
    | _group(
        FailureClass.AMBIGUOUS,
        Scope.CARRIER,
        Actor.NOBODY,
        {
            (30008,): (
                "The carrier gives no reason for the failure.",
                "Send again once; if it goes on, ask Twilio's support.",
            ),
            (30410,): (
                "The carrier does not answer in time, so the message may or may not have gone out.",
                "Send it again only if receiving it twice does no harm.",
            ),
        },
    )
    | _group(
        FailureClass.AMBIGUOUS,
        Scope.SERVICE,
        Actor.TWILIO,
        {
            (30040, 30041, 30043, 30044, 30454): (
                "Twilio reports a failure that its public documents do not explain.",
                "Look the code up at Twilio, or ask its support.",
            ),
            # Codes of messages that come in; listed because they share the range and end up in the same logs.
            (30009,): ("A part of an incoming message is missing.", "Nothing; no message of ours failed."),
            (30038,): (
                "A one-time code in an incoming message is hidden.",
                "Nothing; no message of ours failed.",
            ),
            (30039,): (
                "An incoming message looks machine-made, and Twilio stops it to prevent a loop.",
                "Nothing; no message of ours failed.",
            ),
        },
    )
)

FAILURES: Mapping[int, Failure] = MappingProxyType(
    _ACCOUNT
    | _OPT_OUT
    | _RECIPIENT
    | _CONTENT
    | _SENDER
    | _OUR_REQUEST
    | _TWILIO_PASSING
    | _BUSY_SENDER
    | _BUSY_ACCOUNT
    | _CARRIER_PASSING
    | _RECIPIENT_PASSING
    | _AMBIGUOUS
)

_UNKNOWN_FAILED = _group(
    FailureClass.AMBIGUOUS,
    Scope.SERVICE,
    Actor.OPERATOR,
    {
        (0,): (
            "Twilio reports a failure with a code that is not known here.",
            "Look the code up at Twilio before sending the message again.",
        )
    },
)[0]
_UNKNOWN_UNDELIVERED = replace(
    FAILURES[30008],
    failure_class=FailureClass.RETRY_LATER,
    sentence="The carrier does not deliver the message, for a reason that is not known here.",
    advice="Send again once; if it fails again, look the code up at Twilio.",
)
_REFUSED = replace(
    FAILURES[21618],
    sentence="Twilio does not accept the message as it is.",
    advice="Look the code up at Twilio and correct the message.",
)
_TOO_SLOW = replace(
    FAILURES[20409],
    sentence="Our request reaches Twilio too slowly to be taken.",
    advice="Nothing; it is tried again.",
)
_BY_HTTP_STATUS: Mapping[int, Failure] = {
    401: FAILURES[20003],
    403: FAILURES[20403],
    404: FAILURES[20404],
    408: _TOO_SLOW,  # RFC 9110 §15.5.9: the request did not arrive in full
    429: FAILURES[20429],
}


class OwnCode(IntEnum):
    """Reasons that are ours, not Twilio's; its codes begin at five digits, so the two never meet."""

    TWILIO_UNREACHABLE = 1
    ANSWER_LOST = 2
    GAVE_UP = 3
    NOT_FOUND_AT_TWILIO = 4
    DEADLINE_MISSED = 5
    RECIPIENT_OPTED_OUT = 6
    QUIET_HOURS = 7
    TEXT_REMOVED = 8
    DAILY_CAP = 20
    COUNTRY_CAP = 21
    COUNTRY_PARKED = 22


OWN_FAILURES: Mapping[int, Failure] = MappingProxyType(
    _group(
        FailureClass.RETRY_LATER,
        Scope.SERVICE,
        Actor.OPERATOR,
        {
            (OwnCode.TWILIO_UNREACHABLE,): (
                "Twilio cannot be reached from this server.",
                "Nothing, if it passes; else check the network and https://status.twilio.com.",
            ),
            (OwnCode.GAVE_UP,): (
                "Twilio could not take the message in all the time it was tried.",
                "Check the network and the account's limits, then send it again.",
            ),
        },
    )
    | _group(
        FailureClass.AMBIGUOUS,
        Scope.SERVICE,
        Actor.NOBODY,
        {
            (OwnCode.ANSWER_LOST,): (
                "Twilio's answer was lost, so it may or may not have taken the message.",
                "Do not send it again before Twilio's records show that it is not there.",
            ),
            (OwnCode.NOT_FOUND_AT_TWILIO,): (
                "Twilio's answer was lost, and its records do not show the message.",
                "Send it again if a second copy does no harm; it has most likely not gone out.",
            ),
        },
    )
    | _group(
        FailureClass.CONTENT,
        Scope.CONTENT,
        Actor.CALLER,
        {
            (OwnCode.DEADLINE_MISSED,): (
                "The time by which the message had to be delivered passed before it could be sent.",
                "Send a new message if its content is still of use.",
            ),
            (OwnCode.TEXT_REMOVED,): (
                "The text was sensitive and has been removed, so it cannot be sent again.",
                "Send a new message if its content is still of use.",
            ),
        },
    )
    | _group(
        FailureClass.OPT_OUT,
        Scope.RECIPIENT,
        Actor.RECIPIENT,
        {
            (OwnCode.RECIPIENT_OPTED_OUT,): (
                "The recipient opted out of messages from this sender while the message waited.",
                "Send nothing more until the recipient texts START.",
            ),
        },
    )
    | _group(
        FailureClass.RETRY_LATER,
        Scope.SERVICE,
        Actor.OPERATOR,
        {
            (OwnCode.DAILY_CAP,): (
                "The daily limit on messages is reached.",
                "It goes out tomorrow, or when the operator releases it. Look for abuse before raising DAILY_CAP.",
            ),
            (OwnCode.COUNTRY_CAP,): (
                "The daily limit on messages to this country is reached.",
                "It goes out tomorrow, or when the operator releases it. Look for abuse before raising COUNTRY_CAPS.",
            ),
            (OwnCode.COUNTRY_PARKED,): (
                "Of the latest messages to this country too few were delivered.",
                "Look for abuse; then release `country:` and its code. It is tried again by itself later.",
            ),
        },
    )
    | _group(
        FailureClass.RETRY_LATER,
        Scope.RECIPIENT,
        Actor.NOBODY,
        {
            (OwnCode.QUIET_HOURS,): (
                "These are quiet hours where the recipient is.",
                "Nothing; it goes out when they are over. What cannot wait is sent with `urgent`.",
            ),
        },
    )
)


def explain(code: int | None, *, http_status: int | None = None, status: str | None = None) -> Failure:
    """Return what is known of a failure, or the cautious default for what is not.

    Give `http_status` for a refused request, `status` (Twilio's raw status) for a message that ended badly. With an
    unknown code `failed` is never sent again, `undelivered` once; 400 is final, 401 and 403 concern the account, 404
    our settings, 429 passes, 5xx is ambiguous. `code` None means that Twilio gave none.
    """
    known = None if code is None else FAILURES.get(code) or OWN_FAILURES.get(code)
    if known is not None:
        return known
    if http_status is not None:
        default = FAILURES[20500] if http_status >= 500 else _BY_HTTP_STATUS.get(http_status, _REFUSED)
    else:
        default = _UNKNOWN_UNDELIVERED if status == "undelivered" else _UNKNOWN_FAILED
        if code is None:
            default = replace(default, sentence="No reason was given.")
    return replace(default, code=code or 0)
