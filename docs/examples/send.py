"""Sends a text and shows what became of it.

Usage: SMSAPP_URL=… SMSAPP_API_KEY=… python send.py +14155552671 'Hello'
"""

import os
import sys

from smsapp_client import ApiError, Client

with Client(os.environ["SMSAPP_URL"], os.environ["SMSAPP_API_KEY"]) as client:
    try:
        message = client.send(sys.argv[1], sys.argv[2])
    except ApiError as error:
        sys.exit(str(error))
    message = client.wait(message.id, timeout_s=float(os.environ.get("WAIT", "20")))
    print(message.id, message.status, message.explanation)
