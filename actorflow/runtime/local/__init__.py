"""Stages as processes of this machine, forked by a zygote and linked by pipes.

Nothing is imported here: the zygote imports this package, and every import it makes is paid by the
start of each run.
"""
