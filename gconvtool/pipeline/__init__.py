"""The whole story, a command a file: load, survey, plan, calibrate, fit, rewrite, check, time."""
