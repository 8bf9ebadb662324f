"""Every decision, as decide(facts) -> verdict + reason. Pure."""
