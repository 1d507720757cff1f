"""How long a payment may take, and how often its provider is asked what became of it. All in seconds."""

HOUR = 60 * 60
DAY = 24 * HOUR
LONGEST_PROCESSING = 14 * DAY  # a bank debit: typically five business days, two weeks at most
ASK_ABOUT_PROCESSING = 6 * HOUR  # providers send an event when a debit is done; asking is for events that were lost
ASK_ABOUT_LOST_ANSWER = 60  # the call was made and no answer came, or the program was stopped in between
ASK_ABOUT_CONFIRMATION = 15 * 60  # the customer may have confirmed at the bank without coming back
