"""The reader: a child that takes files apart whose formats need large libraries written in C."""
