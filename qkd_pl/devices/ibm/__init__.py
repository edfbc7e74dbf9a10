"""The PennyLane device ``qkd.ibm`` and the jobs that it sends."""
