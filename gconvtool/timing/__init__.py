"""Timing two models against each other: the protocol, the statistics, and the machine it is on."""
