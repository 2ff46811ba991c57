"""What a run is told: the typed config and its checks."""
