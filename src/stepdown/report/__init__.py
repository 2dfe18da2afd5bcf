"""What was done and what it cost, for people: plain-text tables and the reports made of them."""
