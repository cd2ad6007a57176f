"""What a run shows of itself: scoreboard, statistics, `top`, metrics and graph."""
