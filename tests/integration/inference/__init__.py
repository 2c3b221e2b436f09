"""Tests of asking models with real engines and servers."""
