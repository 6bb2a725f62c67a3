"""A local Twilio: the Messages API, signed callbacks and every known misfortune, on demand.

Twilio's test credentials never send callbacks (https://www.twilio.com/docs/iam/test-credentials), so the most important
parts of smsapp could not be tested against Twilio at all. This process answers Twilio's own client library as Twilio
does, posts signed callbacks, misbehaves as configured, and keeps a ledger of what it really accepted. See
docs/simulator.md.

It shares no code with smsapp on purpose: a misunderstanding in one must show as a disagreement with the
other.
"""
