"""`make bench`: how fast this machine sends and receives, measured side by side with alternatives."""
