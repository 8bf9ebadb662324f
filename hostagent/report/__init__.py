"""What people read: runs, why, audit, next. Reads the store, changes nothing."""
