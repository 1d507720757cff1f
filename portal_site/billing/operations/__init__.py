"""The verbs: plain functions, named as a customer would say them, one transaction each. They do not call each other."""
