"""The commands: each module reads the options of one and hands them on; see `hrvlm.cli.command`."""
