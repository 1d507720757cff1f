"""How long a payment may take, and how often its provider is asked for the outcome. All in seconds."""

HOUR = 60 * 60
DAY = 24 * HOUR
LONGEST_PROCESSING = 14 * DAY  # a bank debit: typically five business days, two weeks at most
ASK_ABOUT_PROCESSING = 6 * HOUR  # providers send an event when a debit is done; asking covers lost events
ASK_ABOUT_LOST_ANSWER = 60  # the call got no answer, or the process was stopped before the answer was stored
ASK_ABOUT_CONFIRMATION = 15 * 60  # the customer may have finished 3-D Secure authentication without returning
