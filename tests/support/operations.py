"""Every operation of the API document, by who may see what it is about."""

import json
from typing import Any

from smsapp.cli.openapi import FILE
from tests.support.web import TO

OPERATIONS = {
    operation["operationId"]: (method.upper(), path)
    for path, methods in json.loads(FILE.read_bytes())["paths"].items()
    for method, operation in methods.items()
}
TEXT = {"to": TO, "body": "hello"}
SINCE = "2026-01-01T00:00:00Z"

NOT_FOUND: dict[str, Any] = {
    # What is another's is not there. The value is a valid body, so that only the owner is in the way.
    "getMessage": None,
    "listMessageEvents": None,
    "listMessageDeliveries": None,
    "getJob": None,
    "getJobResults": None,
    "startJob": None,
    "pauseJob": None,
    "resumeJob": None,
    "getTemplate": None,
    "listTemplateVersions": None,
    "createTemplateVersion": {"body": "Hi again"},
    "getSubscription": None,
    "changeSubscription": {"description": "mine now"},
    "rotateSecret": {},
    "recoverEvents": {"since": SINCE},
    "sendExample": {"event_type": "message.delivered"},
    "listDeliveries": None,
    "getDelivery": None,
    "resendDelivery": None,
    "cancelMessage": None,
    "eraseMessage": None,
    "cancelJob": None,
    "deleteTemplate": None,
    "deleteSubscription": None,
}
EMPTY = {"listMessages", "listJobs", "listTemplates", "listSubscriptions", "listEvents"}
"""Lists of what is the caller's own."""
CREATES = {"sendMessage", "createJob", "createTemplate", "createSubscription"}
"""What is made belongs to the caller; below are tests of what a request may refer to."""
SHARED = {
    # Recipients opt out of senders, which applications share.
    "listSuppressions",
    "addSuppression",
    "exportSuppressions",
    "importSuppressions",
    "getSuppression",
    "liftSuppression",
    # No number belongs to an application yet.
    "listInboundMessages",
    "getInboundMessage",
    # What Twilio, or somebody else, tried to tell the installation; which application it is about is unproven.
    "listRefusedCallbacks",
}
NO_KEY = {
    "getLiveness",
    "getReadiness",
    "getMetrics",
    "takeInboundMessage",
    "takeCheck",
    "takeStatusCallback",
    "takeMessageStatusCallback",
}
