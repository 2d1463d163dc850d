"""Checked usage, the price book and exact costs."""

from interlay.cost.book import PriceBook, default_book
from interlay.cost.pricing import price, pricer
from interlay.cost.rows import Row

__all__ = ["PriceBook", "Row", "default_book", "price", "pricer"]
