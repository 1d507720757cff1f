"""Amounts and time: money, prices, discounts, taxes, periods and proration."""
