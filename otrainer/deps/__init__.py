"""Doors that plugins import from; what lies behind them may move."""
