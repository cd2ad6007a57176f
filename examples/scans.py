"""Scans: one stream, several running results, each in a process of its own.

A scan that has seen enough leaves, and nobody waits for it. The second part has one scan for each
key, made when the key is first seen.

    $ python examples/scans.py
"""

from actorflow import par_demux_scan, par_distribute_scan
from actorflow.stages.scans import latest, length, of, sum_of, take


def highest(so_far, degrees):
    return max(so_far, degrees)


def parity(number):
    return "even" if number % 2 == 0 else "odd"


def first_two_or_all(key):
    return take(2, latest()) if key == "odd" else length()


degrees = [12, 17, 15, 21, 19]
scans = [of(-273, highest), length(), take(3, sum_of())]
results = {}
with par_distribute_scan(degrees, scans, config={"emit": "tagged", "max_buffer": 2}) as stream:
    for values in stream:
        results.update(values)
print(f"the highest of all: {results[1]}")
print(f"how many: {results[2]}")
print(f"the sum of the first three: {results[3]}")

seen = {"even": [], "odd": []}
config = {"worker": "pooled", "processes": 2}
stream = par_demux_scan(range(8), parity, first_two_or_all, restart="ignore", config=config)
with stream:
    for values in stream:
        for key, value in values:
            seen[key].append(value)
print(f"even numbers counted: {seen['even']}")
print(f"the first two odd ones: {seen['odd']}")
