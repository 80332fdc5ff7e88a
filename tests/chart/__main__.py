"""`python -m tests.chart`: writes the settings into the chart's schema."""

from tests.chart.settings_schema import write_schema

write_schema()
