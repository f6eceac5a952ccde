"""What is kept in memory so that polls, lists and open pages are quick, and true after every commit."""
