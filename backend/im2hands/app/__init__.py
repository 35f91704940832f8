"""What a person starts: the command line, the server, checks."""
