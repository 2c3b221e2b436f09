"""Everything in dictionaries: the unit of work that unit tests run on."""
