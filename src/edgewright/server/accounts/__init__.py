"""How people prove who they are: passwords, sessions, an identity provider."""
