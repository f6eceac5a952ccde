"""Where reports go. Every sink takes what the outbox holds, in order."""
