"""The measurements, one file each; every one takes its systems in turns, A B A B, since a machine's speed drifts."""
