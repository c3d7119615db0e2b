"""The yardsticks: published algorithms, restated from their description without a look at speed."""
