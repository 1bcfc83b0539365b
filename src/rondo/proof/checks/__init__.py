"""The ten questions to a run, one module each: `judge(case) -> Finding`. Pure."""
