"""Notices: the e-mails that follow from events and dates, from what happened to what is in the outbox."""
