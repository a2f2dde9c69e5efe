"""Networks side by side that are chains of dense layers and ReLUs: bounds on one box after another, as loops over numbers."""
