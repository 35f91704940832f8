"""The programs that a person or the add-on starts: command line, server, checks."""
