"""The built-in data modules, and what they make batches of."""

from __future__ import annotations

from otrainer.components.data.arrays import ArraysDataset
from otrainer.components.data.dataset import DatasetDataModule
from otrainer.components.data.random_regression import RandomRegressionDataModule

__all__ = ["ArraysDataset", "DatasetDataModule", "RandomRegressionDataModule"]
