"""Who starts, links, watches and restarts stages, and the seam to the runtimes."""
