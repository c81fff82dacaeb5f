"""The efficient frontier of long-only portfolios: `public` opens the data, `market` solves, `result` is returned."""
