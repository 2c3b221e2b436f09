"""Tests of asking models, on engines that are scripted."""
