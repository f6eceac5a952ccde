"""The server's identities: its certificate authority, its own certificates, and what it hands to devices."""
