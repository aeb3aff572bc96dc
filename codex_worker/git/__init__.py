"""Git as the database: snapshots, transactions, leases and large files. Knows no jobs."""
