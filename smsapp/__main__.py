"""`python -m smsapp`."""

from smsapp.cli import main

main(prog_name="python -m smsapp")
