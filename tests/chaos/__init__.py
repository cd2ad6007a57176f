"""Delivery under fire: random topologies whose histories are judged, simulated and for real."""
