"""Repositories: the collections of things that a unit of work opens.

`get` returns the thing, which the unit of work then tracks: changes to it are stored when the unit of work ends. It raises
NotFound where there is none. `find_…` may return None. `for_update` locks the row until the unit of work ends.
"""
