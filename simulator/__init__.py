"""A local Twilio: the Messages API, signed callbacks and every known misfortune, on demand.

Real test credentials never call back (https://www.twilio.com/docs/iam/test-credentials), so what matters
most about smsapp could not be tried against Twilio at all. This process answers Twilio's own client library
as Twilio does, posts signed callbacks, misbehaves as told, and keeps a ledger of what it really accepted.
See docs/simulator.md.

It shares no code with smsapp on purpose: a misunderstanding in one must show as a disagreement with the
other.
"""
