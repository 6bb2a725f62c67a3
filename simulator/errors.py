"""Twilio's error codes as data, and the one exception that becomes Twilio's error JSON."""

from types import MappingProxyType

import orjson

DOCS = "https://www.twilio.com/docs/errors/"

REFUSALS = MappingProxyType(
    {
        # code: (HTTP status, message); https://www.twilio.com/docs/api/errors
        20001: (400, "Unknown parameters"),
        20003: (401, "Authenticate"),
        20004: (405, "Method not allowed"),
        20005: (403, "Account is not active"),
        20009: (409, "Cannot change this resource because it is not complete"),
        20404: (404, "The requested resource was not found"),
        20429: (429, "Too Many Requests"),
        20500: (500, "Internal Server Error"),
        20503: (503, "Service Unavailable"),
        21211: (400, "Invalid 'To' Phone Number"),
        21212: (400, "Invalid 'From' Phone Number"),
        21266: (400, "'To' and 'From' number cannot be the same"),
        21408: (
            400,
            "Permission to send an SMS has not been enabled for the region indicated by the 'To' number",
        ),
        21602: (400, "A text message body or media urls must be specified."),
        21603: (400, "A 'From' phone number is required."),
        21604: (400, "A 'To' phone number is required."),
        21606: (
            400,
            "The 'From' phone number is not a valid message-capable Twilio phone number for this destination",
        ),
        21609: (400, "The 'StatusCallback' URL is not a valid URL."),
        21610: (400, "Attempt to send to unsubscribed recipient"),
        21611: (429, "This 'From' number has exceeded the maximum number of queued messages"),
        21612: (400, "The 'To' phone number is not currently reachable using the 'From' phone number"),
        21614: (400, "'To' number is not a valid mobile number"),
        21617: (400, "The concatenated message body exceeds the 1600 character limit"),
        21623: (400, "Number of media files exceeds the allowed limit"),
        21624: (400, "The 'ValidityPeriod' is not valid"),
        21654: (400, "ContentVariables were given without a ContentSid"),
        21655: (400, "The ContentSid is Invalid"),
        21656: (400, "The ContentVariables Parameter is invalid"),
        21658: (400, "Parameter exceeded character limit"),
        21705: (400, "The Messaging Service SID is invalid"),
        30400: (400, "Parameters are not valid"),
        30404: (404, "The message was not found"),
        30409: (409, "This message cannot be canceled"),
        35111: (400, "SendAt is missing or not a time"),
        35114: (400, "SendAt is outside the allowed window"),
        35126: (400, "ScheduleType is missing or not 'fixed'"),
        63007: (400, "Twilio could not find a Channel with the specified From address"),
    }
)

DELIVERY_FAILURES = MappingProxyType(
    {
        21610: "Attempt to send to unsubscribed recipient",
        30001: "Queue overflow",
        30003: "Unreachable destination handset",
        30004: "Message blocked",
        30005: "Unknown destination handset",
        30006: "Landline or unreachable carrier",
        30007: "Message filtered",
        30008: "Unknown error",
        30032: "Toll-free number has not been verified",
        30034: "Message from an unregistered number",
    }
)


class TwilioError(Exception):
    """Twilio refuses the request with this code.

    `retry_after_s` becomes a Retry-After header, None means that there is none; `hint` helps whoever reads the message.
    """

    def __init__(self, code: int, *, retry_after_s: int | None = None, hint: str = "") -> None:
        self.code = code
        self.status, message = REFUSALS[code]
        self.message = f"{message}. {hint}" if hint else message
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {self.message}")

    def to_json(self) -> bytes:
        """Return the body in the shape of Twilio's 2010-04-01 API."""
        return orjson.dumps(
            {
                "code": self.code,
                "message": self.message,
                "more_info": f"{DOCS}{self.code}",
                "status": self.status,
            }
        )
