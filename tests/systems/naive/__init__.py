"""The originals, as they were: each hangs, starves or loses work, and a test shows it."""
