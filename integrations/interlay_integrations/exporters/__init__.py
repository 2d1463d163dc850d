"""Exporters that need a third party's package: named by the entry points ``interlay.exporters``."""
