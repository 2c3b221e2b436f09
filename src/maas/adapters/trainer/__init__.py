"""Trainers of models."""
