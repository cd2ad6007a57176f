"""Ready-made stages: sources, sinks, batcher, task pool, scans, async stage, rate limiter."""
