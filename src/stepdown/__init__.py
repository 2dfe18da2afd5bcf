"""stepdown runs every unit of coding-agent work on the cheapest model that can do it."""
