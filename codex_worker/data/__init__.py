"""From a project to a dataset: choosing cells, fetching recordings, splits, the data doctor."""
