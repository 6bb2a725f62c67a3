"""`make bench`: what this machine can send and take in, measured side by side with what one would pick instead."""
