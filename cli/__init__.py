"""`gopherctl`: the command line. One module per group of commands, imported on use."""
