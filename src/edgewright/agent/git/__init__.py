"""The agent's way by Git: getting at a repository, believing what is in it, reporting into it."""
