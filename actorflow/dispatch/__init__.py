"""Who gets which event: demand, broadcast and partition, as pure state machines."""
