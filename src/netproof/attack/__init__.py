"""Looking for witnesses, and replaying them."""
