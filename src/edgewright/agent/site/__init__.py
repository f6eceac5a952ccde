"""The site's policy: which one is `in_force`, and what it means on the clock (`schedule`, `compiled`)."""
