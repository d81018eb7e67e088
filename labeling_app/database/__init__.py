"""The database: tables, the append-only log, migrations, copies and backups."""
