"""The command ``stoker``: parse, call, print."""
