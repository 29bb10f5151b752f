"""The packaged emoji data: sheets, splits, data sets, captions."""
