"""The program that trains: one model, one run, in a process of its own."""
