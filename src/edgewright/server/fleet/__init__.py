"""What can be done with the fleet: one function is the content of one transaction.

Each takes an open connection and the time, has `domain` decide, has `store` remember, and notes the change
for the audit. Errors are raised before anything is written, or undo what was.
"""
