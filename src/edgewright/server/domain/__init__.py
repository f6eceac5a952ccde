"""What the server decides, as plain functions over plain values: no clock, no database, no `async`."""
