"""The one bound: its evaluation, its multipliers, its ranges."""
