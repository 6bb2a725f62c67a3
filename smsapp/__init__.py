"""smsapp: sends SMS through Twilio and can always say what became of each one."""

__version__ = "0.1.0"
