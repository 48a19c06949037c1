raise SystemExit("a pack that does not parse must never be run")
