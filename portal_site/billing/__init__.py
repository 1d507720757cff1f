"""The billing engine: pricing rules, models and operations. It is independent of HTTP."""
