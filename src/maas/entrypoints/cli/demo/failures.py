"""What ends the demo early, as a sentence for the person who watches it."""


class DemoFailed(Exception):
    """The demo cannot go on; the message says why, and what to do where something can be done."""
