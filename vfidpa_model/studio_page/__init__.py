"""The studio page: a clip at a glance, five seconds of it as a try-out, and the whole, in a browser on this machine."""
